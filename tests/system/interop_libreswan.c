// SPDX-License-Identifier: Apache-2.0
// The interoperability matrix with libreswan, a second IKEv2 that is independent of ours: ways to
// authenticate by features, in both roles.
#include <stdio.h>
#include <string.h>

#include "tests/system/interop_silent.h"
#include "tests/system/pluto.h"

static bool act_nat_seen(struct cell *c)
{
    char out[8192];
    if (c->peer_begins)
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
    {"NAT", "", false, prepare_nat, act_nat_seen},
};

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

static void its_conn(struct cell *c, const struct method *own, const struct method *peers)
{
    struct site *s = its_site(c), *p = our_site(c);
    bool v = strcmp(c->lab.west.subnet, "dynamic") == 0, begins = c->peer_begins;
    snprintf(c->conf, sizeof(c->conf),
             "  left=%s\n  leftid=@%s.example\n  right=%s\n  rightid=@%s.example\n  leftauth=%s\n  "
             "rightauth=%s\n  ike=aes_gcm256-sha2_384;dh31\n  esp=aes_gcm256\n%s%s%s%s%s",
             s->outer, s->name, !begins && c->middle.pid ? MIDDLE_NAT_ADDRESS : p->outer, p->name,
             own ? authby(own) : "secret", peers ? authby(peers) : "secret",
             own ? "  leftcert=site\n  leftsendcert=always\n" : "", peers ? "  rightca=%any\n" : "",
             c->method->ppk ? "  ppk=insist\n" : "", c->feature->lines,
             v ? (begins ? "  leftmodecfgclient=yes\n  rightmodecfgserver=yes\n  narrowing=yes\n  "
                           "leftsubnet=0.0.0.0/0\n"
                         : "  rightaddresspool=10.3.0.1-10.3.0.9\n  leftmodecfgserver=yes\n  "
                           "rightmodecfgclient=yes\n")
               : "");
    size_t at = strlen(c->conf);
    if (!(v && begins))
        at += (size_t)snprintf(c->conf + at, sizeof(c->conf) - at, "  leftsubnet=%s\n", s->subnet);
    if (!(v && !begins))
        snprintf(c->conf + at, sizeof(c->conf) - at, "  rightsubnet=%s\n", p->subnet);
}

static bool start(struct cell *c)
{
    char secrets[400], ca[200];
    struct site *s = its_site(c);
    const struct method *own = cell_key(c, c->peer_begins), *peer = cell_key(c, !c->peer_begins);
    snprintf(
        secrets, sizeof(secrets),
        "@west.example @east.example : PSK \"a shared secret of the lab\"\n"
        "@west.example @east.example : PPKS \"ppk.example\" \"a postquantum secret of the laboratory\"\n");
    snprintf(ca, sizeof(ca), "%s/ca.pem", c->files);
    its_conn(c, own, peer);
    return pluto_files(c->peers, s) && pluto_authority(c->peers, s, ca, "ca") && (!own || its_key(c, own)) &&
           pluto_start(c->peers, s, c->conf, secrets);
}

static bool initiate(struct cell *c)
{
    char out[16384];
    return pluto_whack(c->peers, its_site(c), out, sizeof(out), "--name site --initiate") == 0 ||
           complain("pluto: %s", out);
}

static bool has(struct cell *c, uint32_t spi_in, uint32_t spi_out)
{
    return pluto_has(c->peers, its_site(c), spi_in, spi_out);
}

static void rekey(struct cell *c, bool ike)
{
    char out[4096];
    pluto_whack(c->peers, its_site(c), out, sizeof(out), "--rekey-%s --name site", ike ? "ike" : "ipsec");
}

// It has neither EAP-MSCHAPv2 nor, in this version, Ed25519; EAP-TLS it has as a server alone.
static bool has_method(const struct method *m)
{
    return !m->eap && !(m->key && strcmp(m->key, "ED25519") == 0);
}

int main(int argc, char **argv)
{
    static const struct silent_peer libreswan = {
        .name = "libreswan",
        .has_method = has_method,
        .start = start,
        .initiate = initiate,
        .has = has,
        .rekey = rekey,
        .features = features,
        .feature_count = sizeof(features) / sizeof(features[0]),
    };
    return silent_matrix(&libreswan, argc, argv);
}
