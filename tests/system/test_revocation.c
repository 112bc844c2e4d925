// SPDX-License-Identifier: Apache-2.0
// Whether a peer's certificate was revoked, asked over HTTP beside a real tunnel with stock strongSwan:
// CRLs and `openssl ocsp`, servers that are good, dead, slow, endless and wrong, each against strict, ifuri
// and relaxed; nothing on the wire to any server before the peer has proven that it is who a trusted chain
// says; and a `fetch` that is killed while it asks, whose end costs a standing tunnel nothing.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/cert_lab.h"
#include "tests/system/http_server.h"
#include "tests/unit/pki_files.h"

static struct lab lab;
static pid_t http, responder[2]; // the issuer's, and another authority's
static long mark;                // of west's log

#define URL     "http://10.10.0.2:8080/"
#define CDP(f)  "crlDistributionPoints=URI:" URL f "\n"
#define OCSP(p) "authorityInfoAccess=OCSP;URI:http://10.10.0.2:" p "/\n"

static int make_files(void **state)
{
    static const struct {
        const char *name, *extensions;
    } ends[] = {{"good", CDP("good.crl")},
                {"revoked", CDP("good.crl")},
                {"silent", ""},
                {"dead", "crlDistributionPoints=URI:http://10.10.0.2:8099/dead.crl\n"},
                {"slow", CDP("slow.crl")},
                {"huge", CDP("huge.crl")},
                {"missing", CDP("missing.crl")},
                {"wrong", CDP("wrong.crl")},
                {"garbage", CDP("garbage.crl")},
                {"spare", CDP("spare.crl")},
                {"asked", OCSP("8082")},
                {"asked-revoked", OCSP("8082")},
                {"asked-false", OCSP("8083")},
                {"asked-dead", "authorityInfoAccess=OCSP;URI:http://10.10.0.2:8098/\n" CDP("good.crl")}};
    (void)state;
    certs_begin();
    make_ca("ca", "/C=CH/O=Lab/CN=root", NULL, "");
    make_ca("other", "/C=CH/O=Lab/CN=root", NULL, ""); // the same name, another key
    make_end("west", "ca", P256, "west.example", "", "");
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        make_end(ends[i].name, "ca", P256, "east.example", ends[i].extensions, "");
    make_end("false", "other", P256, "east.example", CDP("good.crl"), "");
    make_end("old", "ca", P256, "east.example", CDP("good.crl"), PKI_EXPIRED);
    make_end("north", "ca", P256, "north.example", CDP("good.crl"), "");
    make_crl("ca", "good", "revoked");
    make_crl("ca", "good", "asked-revoked");
    make_crl("other", "wrong", NULL);
    MAKE("cd %s && openssl ca -config ca.cnf -valid asked.pem -keyfile ca.key -cert ca.pem && mkdir www && "
         "for "
         "f in good wrong; do openssl crl -in $f.crl -outform DER -out www/$f.crl; done && cp www/good.crl "
         "www/spare.crl && cp www/good.crl www/slow.crl && echo slow >www/slow.crl.how && echo huge "
         ">www/huge.crl.how && echo no CRL at all >www/garbage.crl",
         certs_dir());
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    certs_end();
    return 0;
}

static void www(char *to, size_t size)
{
    snprintf(to, size, "%s/www", certs_dir());
}

static pid_t ocsp_start(const char *port, const char *signer)
{
    char cmd[600], log[120];
    char *argv[] = {"sh", "-c", cmd, NULL};
    snprintf(log, sizeof(log), "%s/ocsp-%s.log", certs_dir(), signer);
    snprintf(
        cmd, sizeof(cmd),
        "cd %s && exec openssl ocsp -port %s -index ca.index -CA ca.pem -rsigner %s.pem -rkey %s.key -nmin "
        "10",
        certs_dir(), port, signer, signer);
    return spawn(log, lab.east.ns, argv);
}

static int set_up(void **state)
{
    char folder[120];
    (void)state;
    www(folder, sizeof(folder));
    if (!lab_up(&lab, "esprevo"))
        return -1;
    responder[0] = ocsp_start("8082", "ca");
    responder[1] = ocsp_start("8083", "other");
    return http_start(&lab.east, folder, &http) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    http_stop(&http);
    stop(&responder[0], SIGKILL, 1000);
    stop(&responder[1], SIGKILL, 1000);
    lab_down(&lab);
    return 0;
}

// --- the tunnel ---

// Many refusals in a row make no cookies and no pause here. (The log has few lines about strangers who follow
// each other closely, so most of what is said is looked for where west begins.)
static char *const daemon_options[] = {
    "--card", "none", "-o", "charon.cookie_threshold_ip=0", "-o", "charon.block_threshold=0", NULL};

static void with(const char *cert, const char *mode, bool first)
{
    struct tunnel_options o;
    struct end_lines l;
    char lines[100];
    const struct end east = {.cert = cert, .id = strcmp(cert, "north") == 0 ? "north.example" : NULL};
    const struct end west = {.cert = "west", .remote = lines};
    snprintf(lines, sizeof(lines), "revocation = %s", mode);
    prepare(&lab.east, &east, &west, &o, &l);
    assert_true(first ? charon_start(&lab, &lab.east, &lab.west, &o) : site_load(&lab.east, &lab.west, &o));
    prepare(&lab.west, &west, &east, &o, &l);
    assert_true(first ? espalierd_start(&lab, &lab.west, &lab.east, &o, daemon_options)
                      : site_load(&lab.west, &lab.east, &o));
}

static FILE *log_file(void)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/daemon.log", lab.west.dir);
    return fopen(path, "r");
}

static void set_mark(void)
{
    FILE *f = log_file();
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    mark = ftell(f);
    fclose(f);
}

static bool has_said(const char *text)
{
    char line[2000];
    FILE *f = log_file();
    bool found = false;
    assert_non_null(f);
    assert_int_equal(fseek(f, mark, SEEK_SET), 0);
    while (!found && fgets(line, sizeof(line), f))
        found = strstr(line, text) != NULL;
    fclose(f);
    return found;
}

static bool is_said(void *text)
{
    return has_said(text);
}

static void says(const char *text)
{
    if (!wait_for(is_said, (void *)(uintptr_t)text, PATIENCE_MS))
        fail_msg("west does not say: %s", text);
}

struct
try {
    const char *cert, *mode;
    bool east_begins, up;
    const char *said;
};

static bool has_no_sa(void *site)
{
    char out[8192];
    return swanctl(site, out, sizeof(out), "--list-sas") == 0 && !strstr(out, "#");
}

// keep: what is known from before.
static void one(const struct try *t, bool first, bool keep)
{
    char out[8192];
    with(t->cert, t->mode, first);
    if (!keep)
        assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--flush-certs"), 0);
    set_mark();
    uint64_t from = mono_us();
    bool up = initiate(t->east_begins ? &lab.east : &lab.west);
    print_message("  %s, %s, %s begins: %s after %.1f s\n", t->cert, t->mode,
                  t->east_begins ? "east" : "west", up ? "up" : "refused", (double)(mono_us() - from) / 1e6);
    if (t->said)
        says(t->said);
    if (t->up) {
        assert_true(up && ping(&lab, &lab.west, &lab.east, 1) && ping(&lab, &lab.east, &lab.west, 1));
        assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--terminate --ike site --timeout 10"), 0);
    } else {
        assert_false(up);
    }
    // What the other end had taken for a tunnel is told that it is none, and the next one is a new one.
    assert_true(wait_for(has_no_sa, &lab.west, PATIENCE_MS) && wait_for(has_no_sa, &lab.east, PATIENCE_MS));
}

static void all(const struct try *t, size_t count)
{
    needs_strongswan();
    for (size_t i = 0; i < count; i++)
        one(&t[i], i == 0, false);
}

static void test_crls_of_every_server_are_judged_by_the_mode(void **state)
{
    static const struct try tries[] = {
        {"good", "strict", false, true, "fetching from '" URL "good.crl'"},
        {"good", "strict", true, true, "fetching from '" URL "good.crl'"},
        {"revoked", "strict", false, false, "is revoked"},
        {"revoked", "strict", true, false, "is revoked"},
        {"revoked", "relaxed", true, false, NULL},
        {"silent", "strict", false, false, "names no CRL and no OCSP responder"},
        {"silent", "ifuri", true, true, NULL},
        {"dead", "strict", true, false, NULL},
        {"dead", "ifuri", false, false, "8099/dead.crl"},
        {"dead", "relaxed", true, true, NULL},
        {"huge", "strict", false, false, "more octets than are taken"},
        {"huge", "relaxed", true, true, NULL},
        {"missing", "ifuri", false, false, "HTTP status 404"},
        {"wrong", "strict", false, false, "wrong.crl"},
        {"wrong", "relaxed", true, true, NULL},
        {"garbage", "ifuri", false, false, "garbage.crl"},
        {"slow", "strict", false, false, "did not answer in time"},
        {"slow", "relaxed", true, true, NULL},
    };
    (void)state;
    all(tries, sizeof(tries) / sizeof(tries[0]));
    char folder[120];
    www(folder, sizeof(folder));
    unsigned asked = http_requests(folder, "slow.crl"); // and is not asked again at once
    one(&(struct try){"slow", "strict", false, false, "has not answered a moment ago"}, false, true);
    assert_true(asked > 0);
    assert_int_equal(http_requests(folder, "slow.crl"), asked);
}

static void test_ocsp_responders_are_judged_by_the_mode(void **state)
{
    static const struct try tries[] = {
        {"asked", "strict", false, true, "fetching from 'http://10.10.0.2:8082/'"},
        {"asked", "strict", true, true, "fetching from 'http://10.10.0.2:8082/'"},
        {"asked-revoked", "strict", true, false, "is revoked"},
        {"asked-revoked", "relaxed", false, false, "is revoked"},
        {"asked-false", "strict", false, false, "8083"},
        {"asked-false", "relaxed", false, true, NULL},
        {"asked-dead", "strict", true, true, "fetching from '" URL "good.crl'"}, // the CRL behind it
    };
    (void)state;
    all(tries, sizeof(tries) / sizeof(tries[0]));
}

// --- nothing too early ---

static void wire_of(const struct try *t, bool first, struct wire *w)
{
    char pcap[200];
    start_capture(&lab, pcap, sizeof(pcap));
    one(t, first, false);
    assert_true(capture_stop(&lab.west) && wire_check(pcap, w));
}

static void test_nothing_is_fetched_before_the_chain_is_trusted(void **state)
{
    static const struct try untrusted[] = {{"false", "strict", false, false, "is of no trusted CA"},
                                           {"false", "strict", true, false, "is of no trusted CA"},
                                           {"old", "strict", true, false, "expired"},
                                           {"north", "strict", true, false, NULL}};
    struct wire w = {0};
    char folder[120];
    (void)state;
    needs_strongswan();
    www(folder, sizeof(folder));
    unsigned before = http_requests(folder, "good.crl");
    for (size_t i = 0; i < sizeof(untrusted) / sizeof(untrusted[0]); i++) {
        wire_of(&untrusted[i], i == 0, &w);
        assert_true(w.ike >= 3);
        assert_int_equal(w.other, 0);
    }
    assert_int_equal(http_requests(folder, "good.crl"), before);
    // As initiator after IKE_AUTH's response, as responder after its request, and not one datagram earlier.
    wire_of(&(struct try){"good", "strict", false, true, NULL}, false, &w);
    assert_true(w.other > 0);
    assert_int_equal(w.ike_before_other, 4);
    wire_of(&(struct try){"good", "strict", true, true, NULL}, false, &w);
    assert_true(w.other > 0);
    assert_int_equal(w.ike_before_other, 3);
    assert_int_equal(http_requests(folder, "good.crl"), before + 2);
}

// --- fetch dies ---

static bool is_asked(void *ctx)
{
    char folder[120];
    www(folder, sizeof(folder));
    return http_requests(folder, "good.crl") > *(unsigned *)ctx;
}

static unsigned fds_of(pid_t pid)
{
    char out[32] = "";
    sh_read(out, sizeof(out), "ls /proc/%d/fd | wc -l", (int)pid);
    return (unsigned)strtoul(out, NULL, 10);
}

// The tunnel that stands is made anew (reauthenticated), so that its peer's list is asked for: of a server
// that does not answer, until `fetch` is killed.
static void test_fetch_killed_while_it_asks_costs_the_others_nothing(void **state)
{
    char folder[120], out[8192];
    struct probe probe;
    struct probe_result r;
    (void)state;
    needs_strongswan();
    www(folder, sizeof(folder));
    with("good", "strict", true);
    set_mark();
    assert_true(initiate(&lab.west));
    assert_true(probe_start(&lab, &probe, &lab.west, &lab.east, 2000));
    unsigned asked = http_requests(folder, "good.crl"), fds = fds_of(lab.west.daemon);
    MAKE("echo slow >%s/good.crl.how", folder);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--flush-certs"), 0);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --ike site --reauth"), 0);
    assert_true(wait_for(is_asked, &asked, PATIENCE_MS));
    pid_t was = room_pid(&lab.west, "fetch");
    assert_true(was > 0 && kill(was, SIGKILL) == 0);
    says("fetch died of signal 9");
    says("the fetch process is gone");
    says("fetch is started again in 100 ms");
    says("fetch serves again");
    assert_true(room_pid(&lab.west, "fetch") > 0 && room_pid(&lab.west, "fetch") != was);
    assert_int_equal(fds_of(lab.west.daemon), fds);
    set_mark();
    kill(room_pid(&lab.west, "fetch"), SIGKILL); // at rest
    says("fetch is started again in 200 ms");
    says("fetch serves again");
    MAKE("rm %s/good.crl.how", folder);
    with("spare", "strict", false); // of a URL that has not just failed
    set_mark();
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --ike site --reauth"), 0);
    says("fetching from '" URL "spare.crl'");
    says("authentication of 'east.example' with ECDSA_WITH_SHA256_DER successful");
    assert_true(probe_stop(&probe, &r));
    print_message("  %llu packets, %llu came, longest gap %.1f ms\n", (unsigned long long)r.sent,
                  (unsigned long long)r.received, (double)r.max_gap_us / 1e3);
    assert_int_equal(r.received, r.sent);
    assert_int_equal(fds_of(lab.west.daemon), fds);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_crls_of_every_server_are_judged_by_the_mode),
        T(test_ocsp_responders_are_judged_by_the_mode),
        T(test_nothing_is_fetched_before_the_chain_is_trusted),
        T(test_fetch_killed_while_it_asks_costs_the_others_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("revocation over HTTP with strongSwan", tests, make_files, drop_files);
}
