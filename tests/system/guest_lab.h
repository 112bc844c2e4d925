// SPDX-License-Identifier: Apache-2.0
// The two sites of a lab with a guest in the place of the east one, and something between them that can be a
// NAT; and traffic between the west site and the guest.
#ifndef TESTS_SYSTEM_GUEST_LAB_H
#define TESTS_SYSTEM_GUEST_LAB_H

#include "tests/system/guest.h"
#include "tests/system/harness.h"
#include "tests/system/middle.h"

struct guest_lab {
    struct lab lab;
    struct middle middle;
    struct guest guest;
    char card[300];      // the card's socket, where the guest has one
    bool neighbour;      // as in guest_options
    const char *west_is; // where the guest sees the west site; NULL: at its inner address
};
// The guest has the east site's addresses and, with card, a simulated card on its PCI bus. ESPALIER_GUEST
// names get.sh's folder, ESPALIER_GUEST_IMAGE image.sh's file.
bool guest_lab_up(struct guest_lab *g, const char *prefix, bool card);
void guest_lab_down(struct guest_lab *g);

bool in_guest(struct guest_lab *g,
              const char *command);                     // ends with 0; complains with what it wrote otherwise
bool guest_pings(struct guest_lab *g, int count);       // both ways, all are answered
bool guest_files(struct guest_lab *g, unsigned octets); // by TCP, both ways, unchanged

#endif
