// SPDX-License-Identifier: Apache-2.0
#include "tests/system/interop_silent.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/ledger.h"
#include "tests/system/steps.h"

enum { WEST, EAST, AGREE_MS = 15000 };

struct site *our_site(struct cell *c)
{
    return c->peer_begins ? &c->lab.east : &c->lab.west;
}

struct site *its_site(struct cell *c)
{
    return c->peer_begins ? &c->lab.west : &c->lab.east;
}

// --- what both have ---

// An IKE SA that a peer left is not counted: not every peer answers the DELETE of what was rekeyed.
static unsigned in_use(const struct vici_sas *sas)
{
    unsigned n = 0;
    for (unsigned i = 0; i < sas->count; i++)
        n += strcmp(sas->sa[i].state, "DELETING") != 0;
    return n;
}

// The IKE SA that is in use is sas.sa[0] afterwards.
static const struct vici_child *only_child(struct cell *c)
{
    char path[200];
    snprintf(path, sizeof(path), "%.180s/vici", our_site(c)->dir);
    int fd = vici_open(path);
    bool ok = fd >= 0 && vici_list_sas(fd, &c->sas);
    if (fd >= 0)
        close(fd);
    if (!ok || in_use(&c->sas) != 1 || c->sas.children_count != 1 ||
        strcmp(c->sas.child[0].state, "INSTALLED") != 0)
        return NULL;
    for (unsigned i = 0; i < c->sas.count; i++)
        if (strcmp(c->sas.sa[i].state, "DELETING") != 0)
            c->sas.sa[0] = c->sas.sa[i];
    return &c->sas.child[0];
}

static bool agreed(void *ctx)
{
    struct cell *c = ctx;
    const struct vici_child *child = only_child(c);
    return child && c->peer->has(c, child->spi_in, child->spi_out);
}

bool agree(struct cell *c)
{
    return wait_for(agreed, c, AGREE_MS) || complain("the two ends have not the same SAs");
}

// --- features ---

bool prepare_rekey_pfs(struct cell *c)
{
    c->ours->esp = "aes256gcm16-x25519";
    return true;
}

bool was_rekeyed(struct cell *c, const struct vici_sas *before, bool ike, const char *by)
{
    for (int i = 0; i < AGREE_MS / 50; i++) {
        bool same = agreed(c), other_ike = same && c->sas.sa[0].spi_i != before->sa[0].spi_i,
             other_child = same && c->sas.child[0].spi_in != before->child[0].spi_in;
        if (same && other_ike == ike && other_child == !ike)
            return true;
        usleep(50000);
    }
    return complain("%s did not rekey its %s", by, ike ? "IKE SA" : "CHILD SA");
}

static bool rekey(struct cell *c, bool by_peer, bool ike)
{
    char out[8192];
    if (!agree(c))
        return false;
    struct vici_sas before = c->sas;
    if (by_peer)
        c->peer->rekey(c, ike);
    else if (swanctl(our_site(c), out, sizeof(out), "--rekey --%s", ike ? "ike site" : "child net"))
        return complain("swanctl --rekey: %s", out);
    return was_rekeyed(c, &before, ike, by_peer ? c->peer->name : "espalierd");
}

bool act_rekey(struct cell *c)
{
    return rekey(c, false, false) && rekey(c, true, false) && rekey(c, false, true) && rekey(c, true, true);
}

bool act_rekey_own(struct cell *c)
{
    return rekey(c, false, false) && rekey(c, false, true) && rekey(c, false, false);
}

bool prepare_cp(struct cell *c)
{
    bool we_serve = c->peer_begins;
    size_t at = strlen(c->ends.conn[!c->peer_begins ? WEST : EAST]);
    char *conn = c->ends.conn[c->peer_begins ? EAST : WEST];
    snprintf(conn + at, sizeof(c->ends.conn[0]) - at, "    %s\n", we_serve ? "pools = v4" : "vips = 0.0.0.0");
    c->ours->sections = we_serve ? "pools {\n  v4 {\n    addrs = 10.3.0.0/24\n  }\n}\n" : NULL;
    snprintf(c->lab.west.subnet, sizeof(c->lab.west.subnet), "dynamic");
    return true;
}

bool act_cp(struct cell *c)
{
    char out[8192];
    swanctl(our_site(c), out, sizeof(out), "--list-sas");
    return strstr(out, "[10.3.0.1]") != NULL || complain("no virtual address: %s", out);
}

bool prepare_ipv6_outer(struct cell *c)
{
    for (int side = 0; side < 2; side++)
        snprintf((side ? &c->lab.east : &c->lab.west)->outer, sizeof(c->lab.west.outer), "fd10::%d",
                 side + 1);
    return lab_ipv6(&c->lab);
}

bool prepare_ipv6_inner(struct cell *c)
{
    for (int side = 0; side < 2; side++)
        snprintf((side ? &c->lab.east : &c->lab.west)->subnet, sizeof(c->lab.west.subnet), "fd0%d::/64",
                 side + 1);
    return lab_ipv6(&c->lab);
}

bool prepare_nat(struct cell *c)
{
    struct middle_control first = {.delay_us = 500, .nat = 20000};
    if (c->peer_begins)
        c->ours->peer_addr = "%any";
    return middle_start(&c->lab, &c->middle, &first);
}

bool act_nat_seen_by_us(struct cell *c)
{
    char out[8192];
    swanctl(our_site(c), out, sizeof(out), "--list-sas --raw");
    return strstr(out, "24500") != NULL || complain("the NAT is not seen: %s", out);
}

// --- keys ---

const struct method *cell_key(struct cell *c, bool of_who_begins)
{
    static const struct method chain_only = {.name = "chain", .key = "EC"};
    return c->method->key ? c->method : !of_who_begins && c->feature->chain ? &chain_only : NULL;
}

bool key_file_name(struct cell *c, const struct method *key, char *name, size_t size)
{
    return snprintf(name, size, "%s-%s-%s", key->name, c->feature->chain ? "low" : "ca", its_site(c)->name) <
           (int)size;
}

// --- a cell ---

static bool start(struct cell *c)
{
    static char *const settings[] = {
        "--card", "none", "-o", "delete_rekeyed_delay=1", "-o", "fragment_size=1280", NULL};
    return c->peer->start(c) && espalierd_start(&c->lab, our_site(c), its_site(c), c->ours, settings);
}

static bool initiate_it(struct cell *c)
{
    char out[16384];
    if (c->peer_begins)
        return c->peer->initiate(c);
    return swanctl(our_site(c), out, sizeof(out), "--initiate --child net --timeout 20") == 0 ||
           complain("%s", out);
}

static bool one_init(struct cell *c)
{
    struct capture_log log = {0};
    if (!capture_stop(&c->lab.west))
        return complain("no capture");
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

static bool cell_run(struct cell *c)
{
    if (!lab_up(&c->lab, "espsil") ||
        !interop_authentication(c->method, c->feature->chain, c->files, &c->lab, &c->ends))
        return false;
    c->ours = &c->ends.side[c->peer_begins ? EAST : WEST];
    if (!c->ours->esp)
        c->ours->esp = "aes256gcm16";
    if (c->method->auth) // a peer may choose another hash
        c->ours->remote = "auth = pubkey";
    if (c->method->ppk)
        snprintf(c->ends.secrets, sizeof(c->ends.secrets),
                 "  ppk-1 {\n    id = ppk.example\n    secret = \"a postquantum secret of the laboratory\"\n "
                 " }\n");
    snprintf(c->pcap, sizeof(c->pcap), "%.90s/wire.pcap", c->lab.dir);
    return (!c->feature->prepare || c->feature->prepare(c)) &&
           capture_start(&c->lab, &c->lab.west, c->pcap) && start(c) && initiate_it(c) && agree(c) &&
           (!c->method->ppk || logged(our_site(c), "using PPK for PPK_ID 'ppk.example'")) &&
           (!c->feature->act || c->feature->act(c)) && one_init(c);
}

struct run {
    const struct silent_peer *peer;
    const char *peers;
    char files[96];
    unsigned rows[MATRIX_ROWS]; // of interop_methods
};

static bool cell(unsigned row, unsigned column, bool peer_begins, void *ctx)
{
    struct run *r = ctx;
    static struct cell c;
    c = (struct cell){.peer = r->peer,
                      .method = &interop_methods[r->rows[row]],
                      .feature = &r->peer->features[column],
                      .peers = r->peers,
                      .files = r->files,
                      .peer_begins = peer_begins};
    bool ok = cell_run(&c);
    if (c.middle.pid)
        middle_stop(&c.middle);
    lab_down(&c.lab);
    return ok;
}

int silent_matrix(const struct silent_peer *peer, int argc, char **argv)
{
    static struct matrix m;
    struct matrix_options o;
    struct run r = {.peer = peer};
    m.peer = peer->name;
    if (!matrix_options(argc, argv, &o))
        return 2;
    if (!o.peers) {
        fprintf(stderr, "%s: --peers FOLDER is missing, a folder with %s (make check-interop)\n", argv[0],
                peer->name);
        return 3;
    }
    r.peers = o.peers;
    for (unsigned i = 0; i < interop_method_count; i++)
        if (peer->has_method(&interop_methods[i])) {
            r.rows[m.rows] = i;
            m.row[m.rows++] = interop_methods[i].name;
        }
    for (m.columns = 0; m.columns < peer->feature_count; m.columns++)
        m.column[m.columns] = peer->features[m.columns].name;
    int rc = interop_files_make(r.files) ? matrix_run(&m, &o, cell, &r) : 1;
    interop_files_drop(r.files);
    return rc;
}
