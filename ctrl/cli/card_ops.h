// SPDX-License-Identifier: Apache-2.0
// What `espalier card` does with one card; each an exit status.
#ifndef CTRL_CLI_CARD_OPS_H
#define CTRL_CLI_CARD_OPS_H

#include "ctrl/cli/cli.h"

int card_info(struct cli *cli);
int card_bind(struct cli *cli);
int card_unbind(struct cli *cli);
int card_selftest_it(struct cli *cli);
int card_reset_it(struct cli *cli);

#endif
