// SPDX-License-Identifier: Apache-2.0
// The interoperability matrix with stock strongSwan: every way to authenticate by every feature, in both
// roles; traffic both ways through each tunnel, and a capture of the link on which nothing is in clear. A
// table says how it went. A cell counts only if what it is named after was seen: a fragment, a new address,
// other SPIs without another IKE_SA_INIT.
//   interop [--method NAME] [--feature NAME] [--begins espalier|peer] [--report FILE]
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/interop.h"
#include "tests/system/interop_table.h"
#include "tests/system/ledger.h"
#include "tests/system/middle.h"
#include "tests/system/steps.h"
#include "tests/system/vici_client.h"

enum { WEST, EAST };

struct cell {
    const struct method *method;
    const struct feature *feature;
    bool charon_begins;
    struct lab lab;
    struct middle middle;
    struct ends ends;
    bool no_child_at_first;
    char pcap[200];
};
struct feature {
    const char *name;
    bool chain;                      // east shows a chain of certificates
    bool (*prepare)(struct cell *c); // the lab is there, the daemons are not
    bool (*act)(struct cell *c);     // the tunnel is up; NULL: nothing further
};

static struct site *site(struct cell *c, int side)
{
    return side ? &c->lab.east : &c->lab.west;
}

static bool pings(struct cell *c)
{
    return (ping(&c->lab, &c->lab.west, &c->lab.east, 4) && ping(&c->lab, &c->lab.east, &c->lab.west, 4)) ||
           complain("no traffic through the tunnel");
}

static bool command(struct cell *c, int side, const char *what)
{
    char out[8192];
    return swanctl(site(c, side), out, sizeof(out), "%s", what) == 0 ||
           complain("%s: swanctl %s: %s", site(c, side)->name, what, out);
}

static void add(struct cell *c, int side, const char *line)
{
    size_t at = strlen(c->ends.conn[side]);
    snprintf(c->ends.conn[side] + at, sizeof(c->ends.conn[side]) - at, "    %s\n", line);
}

// --- fragments ---

static bool prepare_fragments(struct cell *c)
{
    c->ends.side[0].charon_settings = c->ends.side[1].charon_settings = "fragment_size = 1280";
    return true;
}

// Both logs say that messages went in fragments: strongSwan's names each.
static bool act_fragments(struct cell *c)
{
    return logged(site(c, c->charon_begins ? WEST : EAST), "EF(1/") && pings(c);
}

// --- MOBIKE: west has another address ---

static bool prepare_mobike(struct cell *c)
{
    c->ends.side[WEST].mobike = c->ends.side[EAST].mobike = true;
    c->ends.side[WEST].own_addrs = "%any";
    c->ends.side[EAST].peer_addr = "%any";
    return sh("nsenter --net=%s sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries'",
              c->lab.west.ns) == 0;
}

static bool east_sees_it(void *ctx)
{
    struct cell *c = ctx;
    char out[8192];
    return swanctl(&c->lab.east, out, sizeof(out), "--list-sas --raw") == 0 &&
           strstr(out, "remote-host=10.10.0.11") != NULL;
}

static bool act_mobike(struct cell *c)
{
    if (sh("nsenter --net=%s sh -c 'ip addr add 10.10.0.11/24 dev outer; ip addr del 10.10.0.1/24 dev outer; "
           "ip route replace %s via %s src %s'",
           c->lab.west.ns, c->lab.east.subnet, c->lab.east.outer, c->lab.west.inner) ||
        sh("nsenter --net=%s ip route replace %s via 10.10.0.11 src %s", c->lab.east.ns, c->lab.west.subnet,
           c->lab.east.inner))
        return complain("cannot move west");
    return (wait_for(east_sees_it, c, 6000) || complain("east does not see west at its new address")) &&
           pings(c);
}

// --- rekeying ---

static bool prepare_rekey(struct cell *c)
{
    c->ends.side[0].esp = c->ends.side[1].esp = "aes256gcm16";
    return true;
}

static bool prepare_rekey_pfs(struct cell *c)
{
    c->ends.side[0].esp = c->ends.side[1].esp = "aes256gcm16-x25519";
    return true;
}

struct spis {
    uint64_t ike[2];
    uint32_t child[2];
};

// The one IKE SA and the one CHILD SA that are in use.
static bool read_spis(struct cell *c, int side, struct spis *out)
{
    static struct vici_sas sas;
    char path[200];
    unsigned ikes = 0, children = 0;
    snprintf(path, sizeof(path), "%.180s/vici", site(c, side)->dir);
    int fd = vici_open(path);
    if (fd < 0)
        return complain("%s does not answer", site(c, side)->name);
    bool ok = vici_list_sas(fd, &sas);
    close(fd);
    for (unsigned i = 0; ok && i < sas.count; i++)
        if (strcmp(sas.sa[i].state, "ESTABLISHED") == 0) {
            ikes++;
            out->ike[0] = sas.sa[i].spi_i;
            out->ike[1] = sas.sa[i].spi_r;
        }
    for (unsigned i = 0; ok && i < sas.children_count; i++)
        if (strcmp(sas.child[i].state, "INSTALLED") == 0) {
            children++;
            out->child[0] = sas.child[i].spi_in;
            out->child[1] = sas.child[i].spi_out;
        }
    return ok && ikes == 1 && children == 1;
}

struct renewal {
    struct cell *c;
    int side;
    bool ike;
    struct spis before;
};

static bool renewed(void *ctx)
{
    struct renewal *r = ctx;
    for (int side = 0; side < 2; side++) {
        struct spis now;
        if (!read_spis(r->c, side, &now))
            return false;
        bool ike = now.ike[0] != r->before.ike[0] && now.ike[1] != r->before.ike[1];
        bool child = now.child[0] != r->before.child[side == r->side ? 0 : 1] &&
                     now.child[1] != r->before.child[side == r->side ? 1 : 0];
        if (ike != r->ike || child != !r->ike)
            return false;
    }
    return true;
}

static bool rekey(struct cell *c, int side, bool ike)
{
    struct renewal r = {.c = c, .side = side, .ike = ike};
    return (read_spis(c, side, &r.before) || complain("not one IKE SA and one CHILD SA")) &&
           command(c, side, ike ? "--rekey --ike site" : "--rekey --child net") &&
           (wait_for(renewed, &r, 8000) ||
            complain("%s did not rekey its %s", site(c, side)->name, ike ? "IKE SA" : "CHILD SA")) &&
           pings(c);
}

static bool act_rekey(struct cell *c)
{
    return rekey(c, WEST, false) && rekey(c, EAST, false) && rekey(c, WEST, true) && rekey(c, EAST, true) &&
           rekey(c, WEST, false);
}

// --- configuration payloads ---

static bool prepare_cp(struct cell *c)
{
    add(c, WEST, "vips = 0.0.0.0");
    add(c, EAST, "pools = v4");
    snprintf(c->lab.west.subnet, sizeof(c->lab.west.subnet), "dynamic");
    snprintf(c->lab.west.inner, sizeof(c->lab.west.inner), "10.3.0.1");
    c->ends.side[EAST].sections = "pools {\n  v4 {\n    addrs = 10.3.0.0/24\n    dns = 10.2.0.53\n  }\n}\n";
    c->ends.side[WEST].charon_settings = "install_virtual_ip = yes";
    return true;
}

static bool act_cp(struct cell *c)
{
    char out[8192];
    for (int side = 0; side < 2; side++) {
        swanctl(site(c, side), out, sizeof(out), "--list-sas");
        if (!strstr(out, "[10.3.0.1]"))
            return complain("%s does not list the virtual address: %s", site(c, side)->name, out);
    }
    swanctl(&c->lab.east, out, sizeof(out), "--list-pools");
    return strstr(out, "1 / 0 / 254") != NULL || complain("east's pool: %s", out);
}

// --- the rest ---

static bool prepare_childless(struct cell *c)
{
    add(c, WEST, "childless = force");
    add(c, EAST, "childless = force");
    c->no_child_at_first = true;
    return true;
}

static bool prepare_ipv6_outer(struct cell *c)
{
    for (int side = 0; side < 2; side++)
        snprintf(site(c, side)->outer, sizeof(c->lab.west.outer), "fd10::%d", side + 1);
    return lab_ipv6(&c->lab);
}

static bool prepare_ipv6_inner(struct cell *c)
{
    if (!lab_ipv6(&c->lab))
        return false;
    for (int side = 0; side < 2; side++) {
        struct site *s = site(c, side);
        snprintf(s->inner, sizeof(s->inner), "fd0%d::1", side + 1);
        snprintf(s->subnet, sizeof(s->subnet), "fd0%d::/64", side + 1);
        if (sh("nsenter --net=%s ip addr add %s/128 dev lo nodad", s->ns, s->inner))
            return complain("cannot give %s an IPv6 address", s->name);
    }
    return true;
}

static bool prepare_nat(struct cell *c)
{
    struct middle_control first = {.delay_us = 500, .nat = 20000};
    c->ends.side[EAST].peer_addr = "%any";
    return middle_start(&c->lab, &c->middle, &first);
}

static bool act_nat(struct cell *c)
{
    char out[8192];
    swanctl(&c->lab.east, out, sizeof(out), "--list-sas --raw");
    return strstr(out, "remote-port=24500") != NULL || complain("east does not see the NAT: %s", out);
}

static const struct feature features[] = {
    {"fragments", true, prepare_fragments, act_fragments},
    {"MOBIKE", false, prepare_mobike, act_mobike},
    {"rekey", false, prepare_rekey, act_rekey},
    {"rekey-PFS", false, prepare_rekey_pfs, act_rekey},
    {"CP", false, prepare_cp, act_cp},
    {"childless", false, prepare_childless, NULL},
    {"IPv6-outer", false, prepare_ipv6_outer, NULL},
    {"IPv6-inner", false, prepare_ipv6_inner, NULL},
    {"NAT", false, prepare_nat, act_nat},
};
enum { FEATURES = sizeof(features) / sizeof(features[0]) };

// --- a cell ---

static bool start(struct cell *c)
{
    static char *const ours[] = {"--card", "none", "-o", "fragment_size=1280", NULL};
    for (int side = EAST; side >= WEST; side--) {
        bool charon = c->charon_begins == (side == WEST);
        struct site *s = site(c, side), *peer = site(c, !side);
        if (!(charon ? charon_start(&c->lab, s, peer, &c->ends.side[side])
                     : espalierd_start(&c->lab, s, peer, &c->ends.side[side], ours)))
            return false;
    }
    return true;
}

static bool childless_first(struct cell *c)
{
    char out[8192];
    if (!command(c, WEST, "--initiate --ike site --timeout 20"))
        return false;
    swanctl(&c->lab.east, out, sizeof(out), "--list-sas");
    return (strstr(out, "ESTABLISHED") && !strstr(out, "INSTALLED")) ||
           complain("expected an IKE SA without a CHILD SA: %s", out);
}

static bool wire_is_clean(struct cell *c)
{
    struct wire w;
    struct capture_log log = {0};
    if (!capture_stop(&c->lab.west) || !wire_check(c->pcap, &w))
        return complain("no capture");
    if (w.esp < 8 || w.repeated || w.plaintext || w.other)
        return complain("on the wire: %llu ESP, %llu repeated, %llu in clear, %llu others",
                        (unsigned long long)w.esp, (unsigned long long)w.repeated,
                        (unsigned long long)w.plaintext, (unsigned long long)w.other);
    if (strchr(c->lab.west.outer, ':'))
        return true;
    bool ok = capture_read(&log, &c->lab.west, c->pcap);
    uint64_t inits = ok ? capture_requests(&log, EXCHANGE_SA_INIT) : 0,
             fragments = ok ? capture_fragments(&log, true) : 0;
    capture_free(&log);
    if (c->feature->chain && !fragments)
        return complain("east sent its chain in no fragments");
    return inits == 1 || complain("%llu IKE_SA_INIT requests", (unsigned long long)inits);
}

static bool cell_up(struct cell *c, const char *files)
{
    return lab_up(&c->lab, "espmat") &&
           interop_authentication(c->method, c->feature->chain, files, &c->lab, &c->ends) &&
           c->feature->prepare(c);
}

static bool cell_run(struct cell *c)
{
    snprintf(c->pcap, sizeof(c->pcap), "%.90s/wire.pcap", c->lab.dir);
    return capture_start(&c->lab, &c->lab.west, c->pcap) && start(c) &&
           (!c->no_child_at_first || childless_first(c)) &&
           command(c, WEST, "--initiate --child net --timeout 20") && pings(c) &&
           interop_authenticated(c->method, c->feature->chain, &c->lab) &&
           (!c->feature->act || c->feature->act(c)) && wire_is_clean(c);
}

static bool cell(unsigned row, unsigned column, bool charon_begins, void *files)
{
    struct cell c = {
        .method = &interop_methods[row], .feature = &features[column], .charon_begins = charon_begins};
    bool ok = cell_up(&c, files) && cell_run(&c);
    if (c.middle.pid)
        middle_stop(&c.middle);
    lab_down(&c.lab);
    return ok;
}

int main(int argc, char **argv)
{
    static struct matrix m = {.peer = "strongSwan"};
    struct matrix_options o;
    char files[96];
    if (!matrix_options(argc, argv, &o))
        return 2;
    if (!have_strongswan()) {
        fprintf(stderr, "interop: strongSwan is not installed (make deps)\n");
        return 3;
    }
    for (m.rows = 0; m.rows < interop_method_count; m.rows++)
        m.row[m.rows] = interop_methods[m.rows].name;
    for (m.columns = 0; m.columns < FEATURES; m.columns++)
        m.column[m.columns] = features[m.columns].name;
    int rc = interop_files_make(files) ? matrix_run(&m, &o, cell, files) : 1;
    interop_files_drop(files);
    return rc;
}
