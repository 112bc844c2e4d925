// SPDX-License-Identifier: Apache-2.0
// Connections as VICI brings them, loaded: what became of the last one, and what was said about it.
#ifndef TESTS_CONFIG_CONN_RIG_H
#define TESTS_CONFIG_CONN_RIG_H

#include "ctrl/config/conn_load.h"

extern char warnings[1000], faults[2000];
extern struct conn_config conn;
extern struct esp_error err;

enum place { IN_CONN, IN_LOCAL, IN_REMOTE, IN_CHILD, NOWHERE };

void put(struct vici_out *o, enum place here, enum place place, const char *key, const char *value);
int load_out(struct vici_out *o);
int load(enum place place, const char *key,
         const char *value);            // a whole one with one more key=value somewhere
void assert_text(const char *expected); // in err

#endif
