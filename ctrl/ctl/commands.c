// SPDX-License-Identifier: Apache-2.0
// The commands by name. Those that charon has and this build cannot do yet are answered with what is missing,
// so that a client learns more than "unknown command".
#include "ctrl/ctl/ctl.h"

#include <string.h>

struct entry {
    const char *name;
    void (*run)(struct ctl *c, struct command *cmd);
    const char *missing; // why there is no run
};
static const struct entry entries[] = {
    {"version", cmd_version, NULL},
    {"stats", cmd_stats, NULL},
    {"reload-settings", cmd_reload_settings, NULL},
    {"initiate", cmd_initiate, NULL},
    {"terminate", cmd_terminate, NULL},
    {"rekey", NULL, "rekeying on request is not supported yet"},
    {"redirect", NULL, "redirecting clients (RFC 5685) is not supported yet"},
    {"install", NULL, "installing policies by hand is not supported yet; use start_action = trap"},
    {"uninstall", NULL, "removing policies by hand is not supported yet; unload the connection instead"},
    {"list-sas", cmd_list_sas, NULL},
    {"list-policies", cmd_list_policies, NULL},
    {"list-conns", cmd_list_conns, NULL},
    {"list-certs", cmd_list_certs, NULL},
    {"get-algorithms", cmd_get_algorithms, NULL},
    {"get-counters", cmd_get_counters, NULL},
    {"reset-counters", cmd_reset_counters, NULL},
    {"load-conn", cmd_load_conn, NULL},
    {"unload-conn", cmd_unload_conn, NULL},
    {"get-conns", cmd_get_conns, NULL},
    {"load-cert", cmd_load_cert, NULL},
    {"load-key", cmd_load_key, NULL},
    {"unload-key", cmd_unload_key, NULL},
    {"get-keys", cmd_get_keys, NULL},
    {"load-token", cmd_load_token, NULL},
    {"load-shared", cmd_load_shared, NULL},
    {"unload-shared", cmd_unload_shared, NULL},
    {"get-shared", cmd_get_shared, NULL},
    {"clear-creds", cmd_clear_creds, NULL},
    {"flush-certs", cmd_flush_certs, NULL},
    {"load-authority", cmd_load_authority, NULL},
    {"unload-authority", cmd_unload_authority, NULL},
    {"get-authorities", cmd_get_authorities, NULL},
    {"list-authorities", cmd_list_authorities, NULL},
    {"load-pool", cmd_load_pool, NULL},
    {"unload-pool", cmd_unload_pool, NULL},
    {"get-pools", cmd_get_pools, NULL},
};

bool ctl_command(void *ctx, struct command *cmd)
{
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        if (strcmp(entries[i].name, cmd->name) != 0)
            continue;
        if (entries[i].run)
            entries[i].run(ctx, cmd);
        else
            server_reply_error(cmd, "%s", entries[i].missing);
        return true;
    }
    return false;
}
