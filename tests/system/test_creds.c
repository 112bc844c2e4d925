// SPDX-License-Identifier: Apache-2.0
// Certificates, private keys and authorities by stock swanctl: the same files are loaded into espalierd and
// into strongSwan's charon, and what the client says of both is compared line by line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/harness.h"
#include "tests/unit/cred_dir.h"

static struct lab lab;
static char ours[262144], theirs[262144];
static char *const no_card[] = {"--card", "none", NULL};
static const struct tunnel_options plain = {
    .charon_settings =
        "load = random nonce pem pkcs1 pkcs8 pkcs12 pubkey x509 openssl revocation constraints kdf drbg "
        "gcm aes sha1 sha2 hmac curve25519 kernel-libipsec kernel-netlink socket-default vici updown "
        "counters"};

static int set_up(void **state)
{
    (void)state;
    pki_files_begin();
    cred_dir_make();
    if (!lab_up(&lab, "espcreds") || !espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card))
        return -1;
    return charon_start(&lab, &lab.east, &lab.west, &plain) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    pki_files_end();
    return 0;
}

// How long something is still valid is told by the client from its own clock ("expires in 30 days", the next
// second "29 days"): the two clients are not asked in the same second, so that is left out. The dates stay.
static int run(struct site *s, char *out, size_t size, const char *args, const char *filter)
{
    return sh_read(out, size,
                   "{ SWANCTL_DIR=%s STRONGSWAN_CONF=%s/client.conf nsenter --net=%s "
                   "/usr/sbin/swanctl %s --uri unix://%s/vici 2>&1; echo \"status $?\"; } | "
                   "sed 's/ (expires in [0-9]* [a-z]*)//' | %s",
                   pki_files_dir(), s->dir, s->ns, args, s->dir, filter[0] ? filter : "cat");
}

static void assert_both(const char *args, const char *filter)
{
    run(&lab.west, ours, sizeof(ours), args, filter);
    run(&lab.east, theirs, sizeof(theirs), args, filter);
    if (strcmp(ours, theirs) != 0)
        fail_msg("swanctl %s differs.\nespalierd:\n%s\ncharon:\n%s", args, ours, theirs);
}

static void assert_shows(const char *expected)
{
    if (!strstr(ours, expected))
        fail_msg("expected \"%s\" in:\n%s", expected, ours);
}

static void write_conf(const char *more)
{
    const char *dir = pki_files_dir();
    pki_write(
        "swanctl.conf",
        "connections {\n c { remote_addrs = 10.0.0.2\n version = 2\n local { auth = pubkey\n certs = "
        "west.pem\n id = "
        "west.lab }\n remote { auth = pubkey\n id = east.lab\n cacerts = ca.pem\n revocation = ifuri }\n "
        "children "
        "{ n { remote_ts = 10.9.0.0/16 } } }\n d { remote_addrs = 10.0.0.3\n version = 2\n local { auth = "
        "ecdsa-256-sha256\n cert1 { file = %s/x509/east.pem } }\n remote { auth = rsa-2048-sha256-sha384\n "
        "pubkeys = "
        "west.pub\n cert_policy = 1.3.6.1.4.1.9, 2.5.29.32.0\n cacert1 { file = %s/x509ca/ca.pem } }\n "
        "children { n2 "
        "{ remote_ts = 10.8.0.0/16 } } }\n}\nsecrets {\n pkcs8-n { file = north.pem\n secret = geheim }\n "
        "private-w { file = westenc.pem\n secret = sesam }\n pkcs12-e { file = east.p12\n secret = p12 }\n "
        "ike-1 { id = a\n secret = x }\n}\nauthorities {\n root { cacert = ca.pem\n crl_uris = "
        "file://%s/made/root.crl, http://127.0.0.1:8080/root.crl\n ocsp_uris = http://127.0.0.1:8081/ }\n "
        "sub { file = %s/x509ca/sub.der }\n}\n%s",
        dir, dir, dir, dir, more);
}

// What the client prints goes by what it was sent: DER, kind, flag, whether there is a private key.
static void test_what_is_loaded_is_listed_as_charon_lists_it(void **state)
{
    (void)state;
    write_conf("");
    assert_both("--load-all --noprompt", "");
    assert_shows("status 0");
    assert_shows("loaded RSA key from");
    assert_shows("loaded authority 'root'");
    assert_shows("loaded connection 'd'");
    assert_both("--list-certs", "sort");
    assert_shows("has private key");
    assert_shows("List of X.509 CA Certificates");
    assert_shows("0 revoked certificates");
    assert_both("--list-certs --raw", "tr ' ' '\\n' | sort");
    assert_both("--list-certs --pretty", "sort");
    assert_both("--list-certs --type x509 --flag ca", "sort");
    assert_both("--list-certs --type pubkey", "sort");
    assert_both("--list-certs --type x509_crl", "sort");
    assert_both("--list-certs --type x509_ac", "sort");
    assert_both("--list-certs --subject west.lab", "sort");
    assert_shows("CN=west.lab");
    assert_both("--list-certs --subject 'C=CH, O=*, CN=Lab Sub CA'", "sort");
    assert_shows("CN=Lab Sub CA");
    assert_both("--list-authorities", "sort");
    assert_both("--list-authorities --name sub", "");
    assert_both("--list-authorities --pretty", "sort");
    assert_both("--list-conns", "grep -E 'authentication|id:|certs|policy' | sort");
    assert_shows("cacerts: C=CH, O=Lab, CN=Lab Root CA");
    assert_both("--flush-certs", "");
    assert_both("--flush-certs --type x509_crl", "");
    assert_both("--list-certs", "sort"); // what was loaded stays
    assert_shows("List of X.509 CRLs");
}

static void test_loaded_twice_it_is_there_once(void **state)
{
    (void)state;
    assert_both("--load-all --noprompt", "");
    assert_shows("status 0");
    assert_both("--list-certs --raw", "tr ' ' '\\n' | sort");
}

static void test_what_is_no_longer_in_the_files_goes(void **state)
{
    (void)state;
    pki_run("mkdir -p away && mv private/plain.pem pkcs8/north.pem away/");
    assert_both("--load-creds --noprompt", "");
    assert_both("--list-certs --subject north.lab", ""); // its key has gone
    assert_shows("north.lab");
    assert_null(strstr(ours, "has private key"));
    pki_run("mv x509/west.pem x509crl/root.crl away/");
    assert_both("--load-creds --noprompt", "");
    assert_both("--list-certs", "sort"); // certificates are not unloaded one by one
    assert_shows("west.lab");
    assert_both("--load-creds --clear --noprompt", "");
    assert_both("--list-certs --type x509_crl", "");
    assert_null(strstr(ours, "List of"));
    pki_run("sed -i '/^ sub {/d' swanctl.conf");
    assert_both("--load-authorities", "");
    assert_shows("1 unloaded");
    assert_both("--list-authorities", "");
    pki_run("mv away/plain.pem private/ && mv away/north.pem pkcs8/ && mv away/west.pem x509/ && mv "
            "away/root.crl "
            "x509crl/");
}

// charon says that it failed, we say why: the same files, and the same status.
static void test_what_is_refused_is_refused_with_a_reason(void **state)
{
    (void)state;
    pki_run("cp made/west.pem x509ca/end.pem; echo hello >private/garbage; openssl genrsa -out "
            "private/short.pem 1024");
    run(&lab.west, ours, sizeof(ours), "--load-creds --noprompt", "");
    assert_shows("x509ca/end.pem' failed: parsing X509 certificate failed: ");
    assert_shows("private/garbage' failed: parsing any private key failed: it is none that is known");
    assert_shows("private/short.pem' failed: parsing any private key failed: RSA of 1024 bits");
    assert_shows("status 0");
    pki_run("rm x509ca/end.pem private/garbage private/short.pem");
    write_conf("authorities { bad { crl_uris = http://x/ } }\n");
    run(&lab.west, ours, sizeof(ours), "--load-authorities", "");
    run(&lab.east, theirs, sizeof(theirs), "--load-authorities", "");
    assert_shows("loading authority 'bad' failed: CA certificate missing: bad");
    assert_shows("status 22");
    assert_non_null(strstr(theirs, "status 22"));
    write_conf("connections { e { local { auth = pubkey\n }\n remote { auth = pubkey\n }\n children { n { } "
               "} } }\n");
    run(&lab.west, ours, sizeof(ours), "--load-conns", "");
    assert_shows("loading connection 'e' failed: remote: any certificate of any authority would do");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_loaded_is_listed_as_charon_lists_it),
        cmocka_unit_test(test_loaded_twice_it_is_there_once),
        cmocka_unit_test(test_what_is_no_longer_in_the_files_goes),
        cmocka_unit_test(test_what_is_refused_is_refused_with_a_reason),
    };
    if (!have_strongswan()) {
        printf("creds: skip: strongSwan's charon is not installed\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
