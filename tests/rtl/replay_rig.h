// SPDX-License-Identifier: Apache-2.0
// The workbench as a program: a folder of its own, commands with what they said, small captures and SA files.
// What its tests share.
#ifndef TESTS_RTL_REPLAY_RIG_H
#define TESTS_RTL_REPLAY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#ifndef ESPALIER_SIM
#define ESPALIER_SIM "build/bin/espalier-sim"
#endif
#define ORACLE   "/usr/bin/python3 tests/rtl/replay_oracle.py"
#define EXAMPLES "sim/workbench/examples"

extern char folder[];
extern char output[4096]; // stdout and stderr of the last command

// The start, end and time unit of a wave file: the head of its first block (GTKWave's FST format).
struct wave {
    off_t size;
    uint64_t start, end;
    int8_t unit; // power of ten seconds
};

__attribute__((format(printf, 1, 2))) int run(const char *fmt, ...);
void must_exit(int code, int expected);
void must_say(const char *text);
int setup(void **state);
int teardown(void **state);
char *slurp(const char *name, size_t *len);
void must_be_same_file(const char *got, const char *expected, const char *what);
json_t *load(const char *name);
void must_be_same_member(json_t *got, json_t *expected, const char *name, const char *what);
void write_traffic(unsigned packets, unsigned size, unsigned sas);
void write_capture(unsigned packets);
void write_sas(unsigned sas);
void write_sad(const char *more);
struct wave wave_head(void);
void replay(const char *engine);
void replay_example(const char *engine);

#endif
