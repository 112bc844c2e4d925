// SPDX-License-Identifier: Apache-2.0
// A room as a program of its own: the supervisor forks and the child executes this same program again, so
// that every room has an address-space layout of its own (a leak in one tells nothing about another) and
// nothing of the supervisor's memory. What it must know comes in a sealed memory file. It takes its rights
// off after the exec: with no_new_privs set before, file capabilities would be lost.
#ifndef CTRL_SUPER_ROOM_EXEC_H
#define CTRL_SUPER_ROOM_EXEC_H

#include <sys/types.h>

#include "ctrl/config/options.h"
#include "ctrl/lib/child.h"
#include "espalier/error.h"

#define ROOM_START_FD 3 // where a room finds its memory file
#define ROOM_TITLE    "espalierd: "

struct room_start { // written and read by the same binary
    char magic[16];
    uint32_t size; // of this struct
    enum room room;
    pid_t parent;
    bool apart; // the rooms have users of their own
    struct daemon_config config;
    struct child_env env; // its settings pointer is set by whoever reads
};

const char *room_name(enum room r);

// This very program, to be executed again, however the file system changes meanwhile. Close-on-exec.
// A descriptor or -errno.
int room_program(struct esp_error *err);
// The memory file for one room: sealed, close-on-exec. A descriptor or -errno.
int room_start_file(const struct room_start *start);
// Executes `program` as that room, whose memory file is ROOM_START_FD; its title is "espalierd: ROOM".
// Returns -errno where that fails.
int room_exec(int program, enum room room);

// In main(): whether argv[0] is a room's title. Such a process is a room or nothing: never a supervisor,
// whose options it does not have.
bool room_is_one(const char *title);
// What ROOM_START_FD, its sealed file, tells it. 0 or -errno.
int room_read_start(struct room_start *start);

#endif
