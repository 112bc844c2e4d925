// SPDX-License-Identifier: Apache-2.0
// Just enough of a VICI client to ask a daemon things thousands of times without starting swanctl: commands
// with string values, and list-sas.
#ifndef TESTS_VICI_CLIENT_H
#define TESTS_VICI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VICI_SAS = 16, VICI_CHILDREN = 96 };
struct vici_child {
    char name[32], state[16];
    uint32_t id, spi_in, spi_out;
    uint64_t packets_in, packets_out;
};
struct vici_sa {
    char name[32], state[16];
    uint64_t spi_i, spi_r;
    unsigned id, first, count; // its part of children
};
struct vici_sas {
    unsigned count, children_count;
    struct vici_sa sa[VICI_SAS];
    struct vici_child child[VICI_CHILDREN];
    unsigned beyond;    // those for which there was no room
    unsigned survivors; // CHILD SAs whose ike has died, none of which is among these
};

int vici_open(const char *path); // a connected socket, or -1
// Keys and values in turn, NULL at the end. `vici_ask` only sends; the answer is waited for by vici_answer,
// which is true where it says success = yes (or nothing about success), and otherwise writes its errmsg.
bool vici_ask(int fd, const char *command, ...);
bool vici_answer(int fd, char *why, size_t size);
bool vici_list_sas(int fd, struct vici_sas *out);
#endif
