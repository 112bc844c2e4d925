// SPDX-License-Identifier: Apache-2.0
// The card's place in the file system: DIR/devices/0000:01:00.0 in the layout of Linux' /sys/bus/pci, so that
// libpci finds the card, with the vfio-user socket beside the attributes; the control socket; and the lock
// that keeps a second process out of the same DIR.
#ifndef ESP_CARD_TREE_H
#define ESP_CARD_TREE_H

#include <stdint.h>

#include "sim/card/pci_config.h"

#define CARD_TREE_SLOT    "0000:01:00.0"
#define CARD_TREE_SOCKET  "vfio-user.sock"
#define CARD_TREE_CONTROL "control.sock"

struct card_tree {
    const char *dir;
    int dirfd, lockfd, configfd;
    int listenfd, controlfd; // listening sockets
    int made;                // entries that card_tree_close() removes
    char error[512];
};

// Takes DIR: creates it where it is absent, locks it, clears what a killed process left. 0, -EBUSY (another
// process holds it) or another negative errno; `error` names what failed.
int card_tree_lock(struct card_tree *t, const char *dir);
// Puts the device and the control socket there; the device appears in one rename, with its socket listening.
int card_tree_publish(struct card_tree *t, const uint8_t config[CARD_PCI_CONFIG_SIZE]);
void card_tree_update_config(struct card_tree *t, const uint8_t config[CARD_PCI_CONFIG_SIZE]);
// Removes the entries and gives the lock up.
void card_tree_close(struct card_tree *t);

// A connected stream socket to DIR/control.sock, or a negative errno (-ECONNREFUSED, -ENOENT: no card there).
int card_tree_connect_control(const char *dir);

#endif
