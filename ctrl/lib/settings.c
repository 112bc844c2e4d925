// SPDX-License-Identifier: Apache-2.0
// The defaults: charon's where charon has the setting, ours otherwise.
#include "ctrl/lib/settings.h"

#include <net/if.h>

#include <stdio.h>
#include <string.h>

void settings_default(struct settings *s)
{
    memset(s, 0, sizeof(*s));
    snprintf(s->vici_uri, sizeof(s->vici_uri), "unix:///var/run/charon.vici");
    snprintf(s->run_dir, sizeof(s->run_dir), "/run/espalier");
    snprintf(s->card, sizeof(s->card), "auto");
    snprintf(s->pci_sysfs, sizeof(s->pci_sysfs), "/sys/bus/pci");
    snprintf(s->tun, sizeof(s->tun), "espalier0");
    s->port = 500;
    s->port_nat_t = 4500;
    s->retransmit_tries = 5;
    s->retransmit_timeout = 4.0;
    s->retransmit_base = 1.8;
    s->half_open_timeout = 30;
    s->cookie_threshold = 30;
    s->cookie_threshold_ip = 3;
    s->block_threshold = 5;
    s->fragment_size = 1280;
    s->keep_alive = 20;
    s->replay_window = 1024;
    s->delete_rekeyed_delay = 5;
    s->install_routes = true;
    s->follow_redirects = true;
    s->install_virtual_ip = true;
    s->ticket_lifetime = 3600;
    s->offload_default = OFFLOAD_NO;
    s->routing_table = 220;
    s->routing_priority = 220;
    s->mtu = 1400;
    s->mss_clamp = true;
    s->block_on_exit = true;
    s->lease_min = 4096;
    s->uid_base = UID_BASE;
    s->seccomp = true;
    s->landlock = true;
    s->workers = 1;
    s->fleet_ttl = 10;
    snprintf(s->fleet_prefix, sizeof(s->fleet_prefix), "/espalier/");
}

static bool is_listed(const char *list, const char *name)
{
    size_t len = strlen(name);
    while (*list) {
        list += strspn(list, ", \t");
        size_t n = strcspn(list, ", \t");
        if (n && n == len && memcmp(list, name, n) == 0)
            return true;
        list += n;
    }
    return false;
}

bool settings_use_interface(const struct settings *s, const char *name)
{
    return s->interfaces_use[0] ? is_listed(s->interfaces_use, name) : !is_listed(s->interfaces_ignore, name);
}

// The name is only asked for where somebody has named interfaces: it costs a system call.
bool settings_use_index(const struct settings *s, unsigned index)
{
    char name[IF_NAMESIZE];
    if (!s->interfaces_use[0] && !s->interfaces_ignore[0])
        return true;
    return if_indextoname(index, name) && settings_use_interface(s, name);
}
