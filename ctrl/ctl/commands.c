// SPDX-License-Identifier: Apache-2.0
// The commands by name. Those that charon has and this build cannot do yet are answered with what is missing,
// so that a client learns more than "unknown command".
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
static const struct {
    const char *name, *why;
} missing[] = {
    {"install", "installing policies by hand is not supported yet; use start_action = trap"},
    {"uninstall", "removing policies by hand is not supported yet; unload the connection instead"},
};

bool ctl_command(void *ctx, struct command *cmd)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, cmd->name) == 0) {
            commands[i].run(ctx, cmd);
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        if (strcmp(missing[i].name, cmd->name) == 0) {
            server_reply_error(cmd, "%s", missing[i].why);
            return true;
        }
    }
    return false;
}
