// SPDX-License-Identifier: Apache-2.0
// The interoperability matrix with OpenIKED, a third IKEv2 that is independent of ours: ways to authenticate
// by features, in both roles. On Linux it has AES-CBC with HMAC alone for CHILD SAs; it rekeys IKE SAs by its
// clock, and CHILD SAs when the kernel says so, which here is none.
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/interop_silent.h"

enum { IKED_MS = 15000 };

#define ESP "aes256-sha512"

static int ikectl(struct cell *c, char *out, size_t size, const char *command)
{
    struct site *s = its_site(c);
    return sh_read(out, size, "nsenter --net=%s %s/root/usr/sbin/ikectl -s %s/iked.sock %s 2>&1", s->ns,
                   c->peers, s->dir, command);
}

// --- features ---

static bool prepare(struct cell *c)
{
    c->ours->esp = ESP;
    return true;
}

static bool prepare_pfs(struct cell *c)
{
    c->ours->esp = ESP "-x25519";
    return true;
}

static bool prepare_address(struct cell *c)
{
    return prepare(c) && prepare_cp(c);
}

static bool prepare_outer(struct cell *c)
{
    return prepare(c) && prepare_ipv6_outer(c);
}

static bool prepare_inner(struct cell *c)
{
    return prepare(c) && prepare_ipv6_inner(c);
}

static bool prepare_translated(struct cell *c)
{
    return prepare(c) && prepare_nat(c);
}

static bool act_nat(struct cell *c)
{
    char out[8192];
    if (c->peer_begins)
        return act_nat_seen_by_us(c);
    ikectl(c, out, sizeof(out), "show sa");
    return strstr(out, "24500") != NULL || complain("the NAT is not seen: %s", out);
}

static bool act_ike_by_it(struct cell *c)
{
    struct vici_sas before = c->sas;
    return was_rekeyed(c, &before, true, "OpenIKED");
}

static const struct feature features[] = {
    {"rekey", "", false, prepare, act_rekey_own},
    {"rekey-PFS", "group curve25519", false, prepare_pfs, act_rekey_own},
    {"its-IKE", "ikelifetime 8", false, prepare, act_ike_by_it},
    {"CP", "", false, prepare_address, act_cp},
    {"IPv6-outer", "", false, prepare_outer, NULL},
    {"IPv6-inner", "", false, prepare_inner, NULL},
    {"NAT", "", false, prepare_translated, act_nat},
};

// --- iked ---

static bool put_keys(struct cell *c, const struct method *own)
{
    char name[100];
    struct site *s = its_site(c);
    if (sh("cd %s && mkdir -p home etc/ca etc/certs etc/crls etc/local etc/private etc/pubkeys/ipv4 "
           "etc/pubkeys/ipv6 etc/pubkeys/fqdn etc/pubkeys/ufqdn && cp %s/ca.pem etc/ca/ca.crt && grep -v "
           "^_iked: /etc/passwd >passwd && echo '_iked:x:64999:64999::%s/home:/usr/sbin/nologin' >>passwd && "
           "grep -v ^_iked: /etc/group >group && echo '_iked:x:64999:' >>group && chmod 755 . home && chown "
           "0:0 home",
           s->dir, c->files, s->dir))
        return complain("cannot make iked's files");
    if (!own)
        return sh("cd %s && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "
                  "etc/private/local.key && openssl pkey -in etc/private/local.key -pubout -out "
                  "etc/local.pub",
                  s->dir) == 0;
    key_file_name(c, own, name, sizeof(name));
    return sh("cd %s && cp %s/%s.pem etc/certs/%s.example.crt && cp %s/%s.key etc/private/local.key && "
              "openssl pkey -in etc/private/local.key -pubout -out etc/local.pub",
              s->dir, c->files, name, s->name, c->files, name) == 0 ||
           complain("cannot copy iked's key");
}

static bool write_conf(struct cell *c)
{
    char path[200];
    struct site *s = its_site(c), *p = our_site(c);
    bool cp = strcmp(c->lab.west.subnet, "dynamic") == 0, pfs = strncmp(c->feature->lines, "group", 5) == 0;
    snprintf(path, sizeof(path), "%s/iked.conf", s->dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return complain("cannot write %s", path);
    fprintf(
        f,
        "ikev2 \"site\" %s esp from %s to %s local %s peer %s ikesa enc aes-256-gcm prf hmac-sha2-384 group "
        "curve25519 childsa enc aes-256 auth hmac-sha2-512 %s srcid %s.example dstid %s.example %s %s %s\n",
        c->peer_begins ? "active" : "passive", cp && c->peer_begins ? "0.0.0.0/0" : s->subnet,
        cp && !c->peer_begins ? "10.3.0.1/32" : p->subnet, s->outer,
        !c->peer_begins && c->middle.pid ? "any" : p->outer, pfs ? c->feature->lines : "", s->name, p->name,
        pfs ? "lifetime 0" : c->feature->lines, c->method->key ? "" : "psk \"a shared secret of the lab\"",
        !cp              ? ""
        : c->peer_begins ? "request address any"
                         : "config address 10.3.0.1");
    return fclose(f) == 0 && sh("chmod 600 %s", path) == 0;
}

static bool answers(void *ctx)
{
    char out[4096];
    return ikectl(ctx, out, sizeof(out), "show sa") == 0;
}

static bool run(struct cell *c)
{
    char cmd[1600], log[200];
    struct site *s = its_site(c);
    const char *d = s->dir;
    snprintf(cmd, sizeof(cmd),
             "exec unshare -m sh -c 'mkdir -p /etc/iked; mount -t tmpfs none /run; mount --bind %s/passwd "
             "/etc/passwd; mount --bind %s/group /etc/group; mount --bind %s/etc /etc/iked; exec env "
             "LD_PRELOAD=%s/no_pfkey.so %s/root/usr/sbin/iked -d -vv -s %s/iked.sock -f %s/iked.conf'",
             d, d, d, c->peers, c->peers, d, d);
    char *argv[] = {"sh", "-c", cmd, NULL};
    snprintf(log, sizeof(log), "%s/iked.log", d);
    s->daemon = spawn(log, s->ns, argv);
    return wait_for(answers, c, IKED_MS) || complain("iked does not come up");
}

// Where it begins it does so at once, so it comes up last.
static bool start(struct cell *c)
{
    const struct method *own = cell_key(c, c->peer_begins);
    return put_keys(c, own) && write_conf(c) && (c->peer_begins || run(c));
}

static bool initiate(struct cell *c)
{
    return run(c);
}

static bool has(struct cell *c, uint32_t spi_in, uint32_t spi_out)
{
    static char out[65536];
    char in[24], on[24];
    if (ikectl(c, out, sizeof(out), "show sa"))
        return false;
    snprintf(in, sizeof(in), "0x%08x", spi_in);
    snprintf(on, sizeof(on), "0x%08x", spi_out);
    return strstr(out, in) && strstr(out, on);
}

static bool has_method(const struct method *m)
{
    return !m->eap && !m->ppk && (!m->key || strcmp(m->name, "ECDSA-384") == 0);
}

int main(int argc, char **argv)
{
    static const struct silent_peer openiked = {
        .name = "OpenIKED",
        .has_method = has_method,
        .start = start,
        .initiate = initiate,
        .has = has,
        .features = features,
        .feature_count = sizeof(features) / sizeof(features[0]),
    };
    return silent_matrix(&openiked, argc, argv);
}
