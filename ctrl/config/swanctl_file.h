// SPDX-License-Identifier: Apache-2.0
// A swanctl.conf as the daemon would get it from swanctl: the tree of a file turned into the sections of
// load-conn and load-shared and put through the same checks, so that every fault is known without a daemon.
#ifndef CTRL_CONFIG_SWANCTL_FILE_H
#define CTRL_CONFIG_SWANCTL_FILE_H

#include "ctrl/config/conffile.h"
#include "ctrl/ctl/vici_msg.h"
#include "ctrl/lib/conn.h"

struct swanctl_report {
    void *ctx;
    // where: "FILE:LINE"; path: "connections.gw.children.net". Every fault, and what has no effect.
    void (*fault)(void *ctx, const char *where, const char *path, const char *text);
    void (*warn)(void *ctx, const char *where, const char *path, const char *text);
    // What is right, where they are not NULL: a connection, and the message of a secret.
    void (*conn)(void *ctx, const struct conn_config *c);
    void (*secret)(void *ctx, const struct vici_node *root);
    // the section that is sent with load-conn, load-pool or load-authority, which `command` is
    void (*section)(void *ctx, const char *command, const struct vici_node *section);
    // and what the directories hold: as in swanctl_creds.h
    void (*cert)(void *ctx, uint8_t kind, const char *flag, const uint8_t *der, size_t len);
    void (*key)(void *ctx, const uint8_t id[20], const uint8_t *der, size_t len);
    int (*ask)(void *ctx, const char *file, char *password, size_t size);
};

// Whether the tree has any of swanctl.conf's sections.
bool swanctl_file_is(const struct conf_tree *t);
// dir: the file's, with the directories of credentials; NULL: they are not looked at, and names of files of
// certificates are at fault. 0, or -ENOMEM.
int swanctl_file_check(const struct conf_tree *t, const char *dir, const struct swanctl_report *report);

#endif
