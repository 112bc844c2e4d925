// SPDX-License-Identifier: Apache-2.0
// The interoperability matrix with libreswan, a second IKEv2 that is independent of ours: ways to
// authenticate by features, in both roles. A cell counts only if both ends have the same SAs and what the
// cell is named after was seen; there is no traffic, because this kernel has no ESP for pluto.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/interop.h"
#include "tests/system/interop_table.h"
#include "tests/system/ledger.h"
#include "tests/system/middle.h"
#include "tests/system/pluto.h"
#include "tests/system/steps.h"
#include "tests/system/vici_client.h"

enum { WEST, EAST, AGREE_MS = 15000 };

struct cell {
    const struct method *method;
    const struct feature *feature;
    const char *peers, *files;
    bool pluto_begins;
    struct lab lab;
    struct middle middle;
    struct ends ends;
    struct tunnel_options *ours;
    struct vici_sas sas;
    char conn[2000], pcap[200];
};
struct feature {
    const char *name, *pluto; // further lines of its connection
    bool chain;
    bool (*prepare)(struct cell *c); // the lab is there, the daemons are not; NULL: nothing to prepare
    bool (*act)(struct cell *c);     // the tunnel is up; NULL: nothing further
};

static struct site *our_site(struct cell *c)
{
    return c->pluto_begins ? &c->lab.east : &c->lab.west;
}

static struct site *its_site(struct cell *c)
{
    return c->pluto_begins ? &c->lab.west : &c->lab.east;
}

// --- what both have ---

static const struct vici_child *only_child(struct cell *c)
{
    char path[200];
    snprintf(path, sizeof(path), "%.180s/vici", our_site(c)->dir);
    int fd = vici_open(path);
    bool ok = fd >= 0 && vici_list_sas(fd, &c->sas);
    if (fd >= 0)
        close(fd);
    return ok && c->sas.count == 1 && c->sas.children_count == 1 &&
                   strcmp(c->sas.child[0].state, "INSTALLED") == 0
               ? &c->sas.child[0]
               : NULL;
}

static bool agreed(void *ctx)
{
    struct cell *c = ctx;
    const struct vici_child *child = only_child(c);
    return child && pluto_has(c->peers, its_site(c), child->spi_in, child->spi_out);
}

static bool agree(struct cell *c)
{
    char out[8192];
    if (wait_for(agreed, c, AGREE_MS))
        return true;
    pluto_whack(c->peers, its_site(c), out, sizeof(out), "--status | grep -E '#|SAs: total'");
    return complain("the two ends have not the same SAs; pluto: %s", out);
}

// --- features ---

static bool prepare_rekey_pfs(struct cell *c)
{
    c->ours->esp = "aes256gcm16-x25519";
    return true;
}

static bool rekey(struct cell *c, bool by_pluto, bool ike)
{
    char out[8192];
    if (!agree(c))
        return false;
    struct vici_sas before = c->sas;
    if (by_pluto)
        pluto_whack(c->peers, its_site(c), out, sizeof(out), "--rekey-%s --name site", ike ? "ike" : "ipsec");
    else
        swanctl(our_site(c), out, sizeof(out), "--rekey --%s", ike ? "ike site" : "child net");
    for (int i = 0; i < AGREE_MS / 50; i++) {
        bool other_ike = agreed(c) && c->sas.sa[0].spi_i != before.sa[0].spi_i,
             other_child = c->sas.child[0].spi_in != before.child[0].spi_in;
        if (c->sas.count == 1 && c->sas.children_count == 1 && other_ike == ike && other_child == !ike &&
            agreed(c))
            return true;
        usleep(50000);
    }
    return complain("%s did not rekey its %s: %s", by_pluto ? "pluto" : "espalierd",
                    ike ? "IKE SA" : "CHILD SA", out);
}

static bool act_rekey(struct cell *c)
{
    return rekey(c, false, false) && rekey(c, true, false) && rekey(c, false, true) && rekey(c, true, true);
}

static bool prepare_cp(struct cell *c)
{
    bool we_serve = c->pluto_begins;
    size_t at = strlen(c->ends.conn[!c->pluto_begins ? WEST : EAST]);
    char *conn = c->ends.conn[c->pluto_begins ? EAST : WEST];
    snprintf(conn + at, sizeof(c->ends.conn[0]) - at, "    %s\n", we_serve ? "pools = v4" : "vips = 0.0.0.0");
    c->ours->sections = we_serve ? "pools {\n  v4 {\n    addrs = 10.3.0.0/24\n  }\n}\n" : NULL;
    snprintf(c->lab.west.subnet, sizeof(c->lab.west.subnet), "dynamic");
    return true;
}

static bool act_cp(struct cell *c)
{
    char out[8192];
    swanctl(our_site(c), out, sizeof(out), "--list-sas");
    return strstr(out, "[10.3.0.1]") != NULL || complain("no virtual address: %s", out);
}

static bool prepare_ipv6_outer(struct cell *c)
{
    for (int side = 0; side < 2; side++)
        snprintf((side ? &c->lab.east : &c->lab.west)->outer, sizeof(c->lab.west.outer), "fd10::%d",
                 side + 1);
    return lab_ipv6(&c->lab);
}

static bool prepare_ipv6_inner(struct cell *c)
{
    for (int side = 0; side < 2; side++)
        snprintf((side ? &c->lab.east : &c->lab.west)->subnet, sizeof(c->lab.west.subnet), "fd0%d::/64",
                 side + 1);
    return lab_ipv6(&c->lab);
}

static bool prepare_nat(struct cell *c)
{
    struct middle_control first = {.delay_us = 500, .nat = 20000};
    if (c->pluto_begins)
        c->ours->peer_addr = "%any";
    return middle_start(&c->lab, &c->middle, &first);
}

static bool act_nat(struct cell *c)
{
    char out[8192];
    if (c->pluto_begins)
        swanctl(our_site(c), out, sizeof(out), "--list-sas --raw");
    else
        pluto_whack(c->peers, its_site(c), out, sizeof(out),
                    "--trafficstatus; grep -h 24500 %s/pluto.log | tail -n 3", its_site(c)->dir);
    return strstr(out, "24500") != NULL || complain("the NAT is not seen: %s", out);
}

static const struct feature features[] = {
    {"fragments", "  fragmentation=yes\n  sendca=all\n", true, NULL, NULL},
    {"rekey", "  pfs=no\n", false, NULL, act_rekey},
    {"rekey-PFS", "  pfs=yes\n", false, prepare_rekey_pfs, act_rekey},
    {"CP", "", false, prepare_cp, act_cp},
    {"IPv6-outer", "", false, prepare_ipv6_outer, NULL},
    {"IPv6-inner", "", false, prepare_ipv6_inner, NULL},
    {"NAT", "", false, prepare_nat, act_nat},
};
enum { FEATURES = sizeof(features) / sizeof(features[0]) };

// --- libreswan's side ---

static const char *authby(const struct method *m)
{
    if (!m || !m->key)
        return "secret";
    return strncmp(m->key, "RSA", 3) == 0 ? "rsasig" : "ecdsa";
}

static bool its_key(struct cell *c, const struct method *key)
{
    char p12[200], name[100];
    const char *ca = c->feature->chain ? "low" : "ca";
    struct site *s = its_site(c);
    snprintf(name, sizeof(name), "%s-%s-%s", key->name, ca, s->name);
    snprintf(p12, sizeof(p12), "%s/site.p12", s->dir);
    return (sh("cd %s && cat mid.pem low.pem >chain.pem && openssl pkcs12 -export -in %s.pem -inkey %s.key "
               "%s "
               "-name site -passout pass:lab -out %s",
               c->files, name, name, c->feature->chain ? "-certfile chain.pem" : "", p12) == 0 ||
            complain("cannot make %s", p12)) &&
           pluto_certificate(c->peers, s, p12, "lab");
}

// The key by which a side shows itself, as interop_auth.c has it.
static const struct method *key_of(struct cell *c, bool begins)
{
    static const struct method chain_only = {.name = "chain", .key = "EC"};
    return c->method->key ? c->method : !begins && c->feature->chain ? &chain_only : NULL;
}

static void its_conn(struct cell *c, const struct method *own, const struct method *peers)
{
    struct site *s = its_site(c), *p = our_site(c);
    bool v = strcmp(c->lab.west.subnet, "dynamic") == 0, begins = c->pluto_begins;
    snprintf(c->conn, sizeof(c->conn),
             "  left=%s\n  leftid=@%s.example\n  right=%s\n  rightid=@%s.example\n  leftauth=%s\n  "
             "rightauth=%s\n  ike=aes_gcm256-sha2_384;dh31\n  esp=aes_gcm256\n%s%s%s%s%s",
             s->outer, s->name, !begins && c->middle.pid ? MIDDLE_NAT_ADDRESS : p->outer, p->name,
             own ? authby(own) : "secret", peers ? authby(peers) : "secret",
             own ? "  leftcert=site\n  leftsendcert=always\n" : "", peers ? "  rightca=%any\n" : "",
             c->method->ppk ? "  ppk=insist\n" : "", c->feature->pluto,
             v ? (begins ? "  leftmodecfgclient=yes\n  rightmodecfgserver=yes\n  narrowing=yes\n  "
                           "leftsubnet=0.0.0.0/0\n"
                         : "  rightaddresspool=10.3.0.1-10.3.0.9\n  leftmodecfgserver=yes\n  "
                           "rightmodecfgclient=yes\n")
               : "");
    size_t at = strlen(c->conn);
    if (!(v && begins))
        at += (size_t)snprintf(c->conn + at, sizeof(c->conn) - at, "  leftsubnet=%s\n", s->subnet);
    if (!(v && !begins))
        snprintf(c->conn + at, sizeof(c->conn) - at, "  rightsubnet=%s\n", p->subnet);
}

static bool start_pluto(struct cell *c)
{
    char secrets[400], ca[200];
    struct site *s = its_site(c);
    const struct method *own = key_of(c, c->pluto_begins), *peer = key_of(c, !c->pluto_begins);
    snprintf(
        secrets, sizeof(secrets),
        "@west.example @east.example : PSK \"a shared secret of the lab\"\n"
        "@west.example @east.example : PPKS \"ppk.example\" \"a postquantum secret of the laboratory\"\n");
    snprintf(ca, sizeof(ca), "%s/ca.pem", c->files);
    its_conn(c, own, peer);
    return pluto_files(c->peers, s) && pluto_authority(c->peers, s, ca, "ca") && (!own || its_key(c, own)) &&
           pluto_start(c->peers, s, c->conn, secrets);
}

// --- a cell ---

static bool start(struct cell *c)
{
    static char *const settings[] = {
        "--card", "none", "-o", "delete_rekeyed_delay=1", "-o", "fragment_size=1280", NULL};
    return start_pluto(c) && espalierd_start(&c->lab, our_site(c), its_site(c), c->ours, settings);
}

static bool initiate_it(struct cell *c)
{
    char out[16384];
    if (c->pluto_begins)
        return pluto_whack(c->peers, its_site(c), out, sizeof(out), "--name site --initiate") == 0 ||
               complain("pluto: %s", out);
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
    if (!lab_up(&c->lab, "esplib") ||
        !interop_authentication(c->method, c->feature->chain, c->files, &c->lab, &c->ends))
        return false;
    c->ours = &c->ends.side[c->pluto_begins ? EAST : WEST];
    c->ours->esp = "aes256gcm16";
    if (c->method->auth) // libreswan takes the strongest hash that is offered
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
    const char *peers;
    char files[96];
    unsigned rows[MATRIX_ROWS]; // of interop_methods
};

static bool cell(unsigned row, unsigned column, bool pluto_begins, void *ctx)
{
    struct run *r = ctx;
    static struct cell c;
    c = (struct cell){.method = &interop_methods[r->rows[row]],
                      .feature = &features[column],
                      .peers = r->peers,
                      .files = r->files,
                      .pluto_begins = pluto_begins};
    bool ok = cell_run(&c);
    if (c.middle.pid)
        middle_stop(&c.middle);
    lab_down(&c.lab);
    return ok;
}

// libreswan has neither EAP-MSCHAPv2 nor, in this version, Ed25519; EAP-TLS it has as a server alone.
static bool has(const struct method *m)
{
    return !m->eap && !(m->key && strcmp(m->key, "ED25519") == 0);
}

int main(int argc, char **argv)
{
    static struct matrix m = {.peer = "libreswan"};
    struct matrix_options o;
    struct run r = {0};
    if (!matrix_options(argc, argv, &o))
        return 2;
    if (!o.peers) {
        fprintf(
            stderr,
            "interop_libreswan: --peers FOLDER is missing, a folder with libreswan (make check-interop)\n");
        return 3;
    }
    r.peers = o.peers;
    for (unsigned i = 0; i < interop_method_count; i++)
        if (has(&interop_methods[i])) {
            r.rows[m.rows] = i;
            m.row[m.rows++] = interop_methods[i].name;
        }
    for (m.columns = 0; m.columns < FEATURES; m.columns++)
        m.column[m.columns] = features[m.columns].name;
    int rc = interop_files_make(r.files) ? matrix_run(&m, &o, cell, &r) : 1;
    interop_files_drop(r.files);
    return rc;
}
