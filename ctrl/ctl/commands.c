// SPDX-License-Identifier: Apache-2.0
// The commands by name.
#include "ctrl/ctl/ctl.h"

#include <string.h>

static const struct {
    const char *name;
    void (*run)(struct ctl *c, struct command *cmd);
} commands[] = {
#define X(name, run) {name, run},
    COMMAND_LIST(X)
#undef X
};

bool ctl_command(void *ctx, struct command *cmd)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, cmd->name) == 0) {
            commands[i].run(ctx, cmd);
            return true;
        }
    }
    return false;
}
