// SPDX-License-Identifier: Apache-2.0
// The leases of the gateway's pool over its daemon's deaths, and on a disk that is full now and then: the
// world reads the file itself, as ctrl/ctl/leases.h describes it.
//
// Judged (kept): a lease that finds room is in the file, and with it all that were given before; no line of
// it is damaged or says what never was; and whoever had an address when the daemon came up gets it again,
// unless it went to somebody else meanwhile. Without memory leases may be forgotten.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ctl/leases.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/pools.h"
#include "tests/world/world.h"

struct leases *__real_leases_open(const char *path);
struct leases *__wrap_leases_open(const char *path);
void __real_leases_keep(struct leases *l, const struct msg_LEASE *m);
void __wrap_leases_keep(struct leases *l, const struct msg_LEASE *m);
struct lease *__real_pools_take(struct ike *ike, const struct conn_config *cfg, const struct identity *id,
                                const struct addr *wish, bool again);
struct lease *__wrap_pools_take(struct ike *ike, const struct conn_config *cfg, const struct identity *id,
                                const struct addr *wish, bool again);

// ---- the file

static const char NAME[] = "warrior";

static int whose(const uint8_t *name, size_t len)
{
    return len == sizeof(NAME) && !memcmp(name, NAME, sizeof(NAME) - 1) ? name[len - 1] - '0' : -1;
}

// "pool 10.77.0.N 02000000" and the name in hexadecimal.
static bool read_line(const char *line, unsigned *addr, int *who)
{
    char hex[64];
    uint8_t name[sizeof(NAME)];
    if (sscanf(line, "pool 10.77.0.%u 02000000%63[0-9a-f]\n", addr, hex) != 2 || *addr > WARRIORS ||
        strlen(hex) != 2 * sizeof(NAME))
        return false;
    for (size_t i = 0; i < sizeof(NAME); i++) {
        const char octet[] = {hex[2 * i], hex[2 * i + 1], 0};
        name[i] = (uint8_t)strtoul(octet, NULL, 16);
    }
    *who = whose(name, sizeof(NAME));
    return *who >= 0 && *who < WARRIORS;
}

// What is written last counts; a last line without its end does not.
static void read_file(struct world *w, struct owners *is)
{
    char line[2000];
    unsigned number = 0, addr;
    int who;
    for (unsigned i = 0; i <= WARRIORS; i++)
        is->of[i] = -1;
    FILE *f = fopen(w->warriors.leases, "r");
    while (f && fgets(line, sizeof(line), f) && strchr(line, '\n')) {
        if (!number++ && strcmp(line, "espalier leases 1\n") == 0)
            continue;
        if (number > 1 && read_line(line, &addr, &who))
            is->of[addr] = (int8_t)who;
        else
            world_fail(w, "kept", "line %u of the leases is damaged: %s", number, line);
    }
    if (f)
        fclose(f);
}

static void check_file(struct world *w, bool whole)
{
    const struct kept *k = &w->warriors.kept;
    struct owners is;
    read_file(w, &is);
    for (unsigned n = 1; n <= WARRIORS && !w->failed; n++) {
        if (is.of[n] >= 0 && !(k->ever[n] & 1u << is.of[n]))
            world_fail(w, "kept", "the leases say that warrior%d has address %u, which it never had",
                       is.of[n], n);
        else if (whole && is.of[n] != k->ctl.of[n])
            world_fail(w, "kept", "a lease has found room, and of address %u the file says %d, not warrior%d",
                       n, is.of[n], k->ctl.of[n]);
    }
}

// ---- what the gateway's daemon does with it

static struct world *of_gateway(void)
{
    return the_site && warriors_leases(the_site) ? the_world : NULL;
}

// It begins with what is there.
struct leases *__wrap_leases_open(const char *path)
{
    struct world *w = of_gateway();
    struct owners is;
    if (w)
        read_file(w, &is);
    struct leases *l = __real_leases_open(path);
    if (w && l) {
        w->warriors.kept.ctl = w->warriors.kept.ike = is;
        w->warriors.kept.seen = 0;
        check_file(w, false);
    }
    return l;
}

void __wrap_leases_keep(struct leases *l, const struct msg_LEASE *m)
{
    struct world *w = of_gateway();
    uint32_t n = m->address.a[3];
    __real_leases_keep(l, m);
    int who = w && m->identity.len > 4 ? whose(m->identity.p + 4, m->identity.len - 4) : -1;
    if (!w)
        return;
    if (n > WARRIORS || who < 0 || who >= WARRIORS) {
        world_fail(w, "kept", "ctl is told of a lease that is nobody's, at %u", n);
        return;
    }
    w->warriors.kept.ctl.of[n] = (int8_t)who;
    w->warriors.kept.ever[n] |= 1u << who;
    check_file(w, !the_site->disk.full && !w->warriors.kept.scarce);
}

struct lease *__wrap_pools_take(struct ike *ike, const struct conn_config *cfg, const struct identity *id,
                                const struct addr *wish, bool again)
{
    struct lease *l = __real_pools_take(ike, cfg, id, wish, again);
    struct world *w = of_gateway();
    int who = w ? whose(id->data, id->len) : -1;
    struct addr at;
    if (!l || who < 0 || who >= WARRIORS)
        return l;
    struct kept *k = &w->warriors.kept;
    pools_address(l, &at);
    for (unsigned n = 1; n <= WARRIORS; n++)
        if (k->ike.of[n] == who && k->ike.of[at.a[3]] != who && !(k->seen & 1u << who) && !k->scarce)
            world_fail(w, "kept", "warrior%d had address %u when the daemon came up, and is given %u", who, n,
                       at.a[3]);
    k->seen |= 1u << who;
    k->ike.of[at.a[3]] = (int8_t)who;
    return l;
}

void kept_scarce(struct site *s, bool scarce)
{
    if (warriors_leases(s))
        s->w->warriors.kept.scarce = scarce;
}
