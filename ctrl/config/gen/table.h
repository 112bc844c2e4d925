// SPDX-License-Identifier: Apache-2.0
// The tables of swanctl.conf's keys in ctrl/config/README.md and in the manual, from the list that the daemon
// reads them by.
#ifndef CTRL_CONFIG_GEN_TABLE_H
#define CTRL_CONFIG_GEN_TABLE_H

#include <stdio.h>

#define TABLE_BEGIN "<!-- keys: written by `make config-table` -->\n"
// Of the manual: also what becomes of the key, and what test_config_keys tries it with.
#define TABLE_TRIED_BEGIN "<!-- keys and what they are tried with: written by `make config-table` -->\n"
#define TABLE_END         "<!-- keys end -->\n"

void table_print(FILE *out);
void table_print_tried(FILE *out);

#endif
