// SPDX-License-Identifier: Apache-2.0
// The table of swanctl.conf's keys in ctrl/config/README.md, from the list that the daemon reads them by.
#ifndef CTRL_CONFIG_GEN_TABLE_H
#define CTRL_CONFIG_GEN_TABLE_H

#include <stdio.h>

#define TABLE_BEGIN "<!-- keys: written by `make config-table` -->\n"
#define TABLE_END   "<!-- keys end -->\n"

void table_print(FILE *out);

#endif
