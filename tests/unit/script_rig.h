// SPDX-License-Identifier: Apache-2.0
// A script of tests/ among stubs: a folder of its own for them, the script's output and its exit status.
#ifndef TESTS_UNIT_SCRIPT_RIG_H
#define TESTS_UNIT_SCRIPT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern char dir[64];       // where the stubs are
extern char output[32768]; // standard output and error of the last command

void dir_make(const char *name); // below /tmp
int dir_remove(void **state);    // a teardown of cmocka
void dir_folder(const char *name);
void put(const char *name, const char *text); // an executable file with that text
bool exists(const char *name);
// `sudo` as it is: another environment, of which what is asked for stays, and no descriptor but the first
// three. What it runs has ROOT=1.
extern const char sudo_stub[];

// The command's exit status, 128 + its signal, or -1. What it would read is empty.
int command(const char *cmd);
void must_say(const char *text); // the last command has

#endif
