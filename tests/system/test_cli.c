// SPDX-License-Identifier: Apache-2.0
// espalier as its operator meets it: the same commands toward espalierd and toward strongSwan's charon, whose
// swanctl is asked beside it.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/system/harness.h"

static struct lab lab;
static char out[262144];
static char *const no_card[] = {"--card", "none", NULL};
static const struct tunnel_options plain = {0};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espcli") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static void assert_shows(const char *expected)
{
    if (!strstr(out, expected))
        fail_msg("expected \"%s\" in:\n%s", expected, out);
}

static void espalier(struct site *s, int status, const char *args)
{
    int rc = sh_read(out, sizeof(out), "nsenter --net=%s %s/espalier %s --uri unix://%s/vici 2>&1", s->ns,
                     bin_dir(), args, s->dir);
    if (rc != status)
        fail_msg("espalier %s: status %d, expected %d:\n%s", args, rc, status, out);
}

// The document, beside which there is nothing on standard output.
static json_t *espalier_json(struct site *s, int status, const char *args)
{
    json_error_t why;
    int rc =
        sh_read(out, sizeof(out), "nsenter --net=%s %s/espalier %s --json --uri unix://%s/vici 2>/dev/null",
                s->ns, bin_dir(), args, s->dir);
    if (rc != status)
        fail_msg("espalier %s --json: status %d, expected %d:\n%s", args, rc, status, out);
    json_t *doc = json_loads(out, 0, &why);
    if (!doc)
        fail_msg("espalier %s --json: no JSON: %s at line %d:\n%s", args, why.text, why.line, out);
    return doc;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "(none)";
}

static json_int_t number_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

// ---- the tunnel's life, by either daemon

struct life {
    struct site *s;
    char spi[16]; // of the first CHILD SA
    char ike_spi[32];
};

static json_t *only_child(const json_t *doc)
{
    json_t *sas = json_object_get(doc, "sas");
    json_t *children = json_object_get(json_array_get(sas, 0), "child-sas");
    return json_array_size(sas) == 1 && json_array_size(children) == 1 ? json_array_get(children, 0) : NULL;
}

static bool both_rekeyed(void *ctx)
{
    struct life *l = ctx;
    json_t *doc = espalier_json(l->s, 0, "sas"), *child = only_child(doc);
    json_t *sa = json_array_get(json_object_get(doc, "sas"), 0);
    bool done = child && strcmp(text_of(child, "spi-in"), l->spi) != 0 &&
                strcmp(text_of(sa, "initiator-spi"), l->ike_spi) != 0 &&
                strcmp(text_of(child, "state"), "INSTALLED") == 0;
    json_decref(doc);
    return done;
}

static void remember(struct life *l)
{
    json_t *doc = espalier_json(l->s, 0, "sas"), *sa = json_array_get(json_object_get(doc, "sas"), 0);
    snprintf(l->ike_spi, sizeof(l->ike_spi), "%s", text_of(sa, "initiator-spi"));
    snprintf(l->spi, sizeof(l->spi), "%s", text_of(only_child(doc), "spi-in"));
    json_decref(doc);
}

static bool rekeyed(void *ctx)
{
    struct life *l = ctx;
    json_t *doc = espalier_json(l->s, 0, "sas"), *child = only_child(doc);
    bool done = child && strcmp(text_of(child, "spi-in"), l->spi) != 0 &&
                strcmp(text_of(child, "state"), "INSTALLED") == 0;
    json_decref(doc);
    return done;
}

static void check_down(struct site *s)
{
    espalier(s, 0, "sas");
    assert_string_equal(out, "no SAs\n");
    espalier(s, 0, "conns");
    assert_shows("site        down");
    assert_shows("  net       down");
}

static void check_sa(struct life *l)
{
    json_t *doc = espalier_json(l->s, 0, "sas"), *sa = json_array_get(json_object_get(doc, "sas"), 0);
    json_t *child = only_child(doc);
    assert_non_null(child);
    assert_string_equal(text_of(sa, "name"), "site");
    assert_string_equal(text_of(sa, "state"), "ESTABLISHED");
    assert_string_equal(text_of(child, "name"), "net");
    assert_string_equal(text_of(child, "state"), "INSTALLED");
    assert_int_equal(number_of(child, "packets-out"), 3);
    assert_int_equal(number_of(child, "packets-in"), 3);
    snprintf(l->spi, sizeof(l->spi), "%s", text_of(child, "spi-in"));
    json_decref(doc);
    espalier(l->s, 0, "sas");
    assert_shows("site[");
    assert_shows("  net[");
    assert_shows("10.1.0.0/16");
    espalier(l->s, 1, "sas nobody");
    assert_shows("espalier: nobody: no connection of that name is loaded, or has an SA");
    espalier(l->s, 1, "conns nobody");
    espalier(l->s, 1, "pools nobody");
    espalier(l->s, 0, "sas site");
    assert_shows("site[");
    espalier(l->s, 0, "conns");
    assert_shows("  net       up");
    // what swanctl shows of it is the same
    assert_int_equal(swanctl(l->s, out, sizeof(out), "--list-sas --raw"), 0);
    assert_shows(l->spi);
}

static void live(struct site *s, const char *first_line)
{
    struct life l = {.s = s};
    check_down(s);
    espalier(s, 0, "up net --timeout 20");
    assert_shows(first_line);
    assert_shows("[IKE] CHILD_SA net{");
    assert_shows("site/net is up\n");
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
    check_sa(&l);
    espalier(s, 0, "rekey net");
    assert_shows("site/net is being rekeyed\n");
    assert_true(wait_for(rekeyed, &l, PATIENCE_MS));
    remember(&l);
    espalier(s, 0, "rekey site"); // all of it
    assert_shows("site/net is being rekeyed\nsite is being rekeyed\n");
    assert_true(wait_for(both_rekeyed, &l, PATIENCE_MS));
    espalier(s, 0, "down site");
    assert_shows("site is down\n");
    check_down(s);
    espalier(s, 1, "down site");
    assert_shows("no matching SAs to terminate found");
    espalier(s, 1, "up nonesuch");
    assert_shows("espalier: nonesuch: CHILD_SA config 'nonesuch' not found");
    json_t *doc = espalier_json(s, 1, "up nonesuch"),
           *first = json_array_get(json_object_get(doc, "results"), 0);
    assert_string_equal(text_of(first, "error"), "CHILD_SA config 'nonesuch' not found");
    json_decref(doc);
}

static void test_tunnel_by_espalierd_comes_up_is_rekeyed_and_goes(void **state)
{
    (void)state;
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
    live(&lab.west, "[IKE] initiating IKE_SA site[1] to 10.10.0.2\n");
    espalier(&lab.west, 0, "counters child_installed");
    assert_shows("child_installed      3\n"); // one, and its two successors
    espalier(&lab.west, 0, "stats");
    assert_shows("daemon       espalierd ");
    assert_shows("processes    supervisor ");
    // nowhere to write to is not the daemon
    assert_int_equal(sh("%s/espalier conns --uri unix://%s/vici >&-", bin_dir(), lab.west.dir), 0);
    json_t *doc = espalier_json(&lab.west, 0, "stats");
    assert_int_equal(number_of(json_object_get(doc, "vici"), "bad-frames"), 0);
    assert_true(number_of(json_object_get(doc, "processes"), "keys") > 1);
    assert_int_equal(number_of(json_object_get(doc, "ikesas"), "total"), 0);
    json_decref(doc);
}

static void test_tunnel_by_charon_comes_up_is_rekeyed_and_goes(void **state)
{
    (void)state;
    if (!have_strongswan()) {
        print_message("skip: strongSwan is not installed\n");
        skip();
    }
    assert_true(charon_start(&lab, &lab.east, &lab.west, &plain));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
    live(&lab.east, "[IKE] initiating IKE_SA site[");
    espalier(&lab.east, 0, "counters");
    assert_shows("site: ike-init-out-req");
    espalier(&lab.east, 0, "stats");
    assert_shows("daemon       charon ");
    assert_shows("plugins      charon, random");
}

// ---- certificates and pools

static void test_certificates_and_pools_as_they_are_loaded(void **state)
{
    const struct tunnel_options pool = {.sections =
                                            "pools { road { addrs = 10.8.0.0/24\n dns = 10.8.0.1 } }\n"};
    struct site *w = &lab.west;
    (void)state;
    assert_int_equal(
        sh("mkdir -p %s/swanctl/x509 %s/swanctl/private && openssl req -x509 -newkey rsa:2048 -nodes "
           "-subj /C=CH/CN=here.example -addext subjectAltName=DNS:here.example -addext "
           "basicConstraints=CA:FALSE -days 20 "
           "-keyout %s/swanctl/private/a.pem -out %s/swanctl/x509/a.pem",
           w->dir, w->dir, w->dir, w->dir),
        0);
    assert_true(espalierd_start(&lab, w, &lab.east, &pool, no_card));
    espalier(w, 0, "certs");
    assert_shows("C=CH, CN=here.example");
    assert_shows("RSA-2048*");
    assert_shows("itself");
    assert_true(strstr(out, " (19 days)") || strstr(out, " (20 days)"));
    assert_shows(" certificate ");
    json_t *doc = espalier_json(w, 0, "certs"), *c = json_array_get(json_object_get(doc, "certificates"), 0);
    assert_int_equal(json_array_size(json_object_get(doc, "certificates")), 1);
    assert_string_equal(text_of(c, "subject"), "C=CH, CN=here.example");
    assert_string_equal(text_of(c, "names"), "DNS:here.example");
    assert_int_equal(number_of(json_object_get(c, "key"), "bits"), 2048);
    char data[8192];
    assert_int_equal(sh_read(data, sizeof(data),
                             "openssl x509 -in %s/swanctl/x509/a.pem -outform DER | base64 -w0", w->dir),
                     0);
    assert_string_equal(text_of(c, "data"), data);
    json_decref(doc);
    espalier(w, 2, "certs --type foo");
    assert_shows("--type: 'foo': expected x509, x509ca, x509_crl, pubkey or ocsp_response");
    espalier(w, 0, "certs --type pubkey");
    assert_string_equal(out, "no certificates\n");
    espalier(w, 0, "pools");
    assert_shows("road  10.8.0.0   254       0        0   254\n");
    doc = espalier_json(w, 0, "pools");
    assert_int_equal(number_of(json_array_get(json_object_get(doc, "pools"), 0), "size"), 254);
    json_decref(doc);
}

// ---- a whole file

static const char credentials[] =
    "cd %s/swanctl && mkdir -p x509 x509ca private pkcs8 && "
    "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ca.example -days 30 -keyout ca.key -out "
    "x509ca/ca.pem && "
    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out private/a.pem && "
    "openssl req -new -key private/a.pem -subj /CN=a.example -out a.csr && "
    "openssl x509 -req -in a.csr -CA x509ca/ca.pem -CAkey ca.key -set_serial 7 -days 20 -out x509/a.pem && "
    "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out b.key && "
    "openssl pkcs8 -topk8 -in b.key -passout pass:geheim -out pkcs8/b.pem";
static const char whole[] =
    "connections {\n site {\n include body.conf\n }\n certs {\n remote_addrs = 10.10.0.9\n local {\n auth = "
    "pubkey\n certs = a.pem\n }\n remote {\n auth = pubkey\n cacerts = ca.pem\n }\n children { c1 { "
    "remote_ts = "
    "10.9.0.0/16\n } c2 : defaults { remote_ts = 10.8.0.0/16\n } }\n }\n}\n"
    "defaults {\n rekey_time = 1h\n}\n"
    "secrets {\n ike-1 {\n id-a = west.example\n id-b = east.example\n secret = 0x736563726574\n }\n"
    " eap-1 {\n id = carol\n secret = pass\n }\n pkcs8-b {\n file = b.pem\n secret = geheim\n }\n}\n"
    "pools {\n road {\n addrs = 10.7.0.0/24\n dns = 10.7.0.1, 10.7.0.2\n }\n}\n"
    "authorities {\n root {\n cacert = ca.pem\n crl_uris = http://10.10.0.9/a.crl\n }\n}\n";

static void write_file(const struct site *s, const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/swanctl/%s", s->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void write_whole(const struct site *s, const struct site *peer)
{
    char body[500];
    assert_int_equal(sh(credentials, s->dir), 0);
    snprintf(
        body, sizeof(body),
        "remote_addrs = %s\nlocal_addrs = %s\nlocal {\n auth = psk\n id = %s\n}\nremote {\n auth = psk\n id "
        "= "
        "%s\n}\nchildren {\n net {\n local_ts = %s\n remote_ts = %s\n esp_proposals = aes256gcm16\n }\n}\n",
        peer->outer, s->outer, s->id, peer->id, s->subnet, peer->subnet);
    write_file(s, "body.conf", body);
    write_file(s, "swanctl.conf", whole);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// All that the daemon lists, in the order of the lines.
static char *everything(struct site *s)
{
    static const char *const lists[] = {"--list-conns", "--list-certs", "--list-pools", "--list-authorities"};
    char *all = calloc(1, 262144), *in_order = calloc(1, 262144), *lines[256];
    size_t n = 0;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        assert_int_equal(swanctl(s, out, sizeof(out), "%s --raw", lists[i]), 0);
        strcat(all, out);
    }
    for (char *line = strtok(all, "\n"); line && n < 256; line = strtok(NULL, "\n"))
        lines[n++] = line;
    qsort(lines, n, sizeof(lines[0]), by_text);
    for (size_t i = 0; i < n; i++)
        strcat(strcat(in_order, lines[i]), "\n");
    free(all);
    return in_order;
}

static void espalier_load(struct site *s, int status)
{
    char args[300];
    snprintf(args, sizeof(args), "load %s/swanctl/swanctl.conf", s->dir);
    espalier(s, status, args);
}

static bool start(struct site *s, struct site *peer, bool charon)
{
    static const struct tunnel_options more = {.charon_plugins =
                                                   "x509 pkcs1 pkcs8 pubkey eap-mschapv2 revocation"};
    return charon ? charon_start(&lab, s, peer, &more) : espalierd_start(&lab, s, peer, &plain, no_card);
}

static void load_as_swanctl_does(struct site *s, struct site *peer, bool charon)
{
    assert_true(start(s, peer, charon));
    write_whole(s, peer);
    assert_int_equal(swanctl(s, out, sizeof(out), "--load-all --noprompt"), 0);
    char *by_swanctl = everything(s);
    assert_true(stop(&s->daemon, SIGTERM, PATIENCE_MS));
    assert_true(start(s, peer, charon)); // with the file of before
    write_file(s, "swanctl.conf", whole);
    espalier_load(s, 0);
    assert_shows("loaded connection 'certs'\n");
    assert_shows("2 certificates, 2 private keys, 2 secrets, 1 authority, 1 pool, 2 connections loaded\n");
    char *by_espalier = everything(s);
    assert_string_equal(by_espalier, by_swanctl);
    assert_non_null(strstr(by_espalier, "c2 {mode=TUNNEL"));
    free(by_swanctl);
    free(by_espalier);
    // swanctl finds nothing to unload of it
    assert_int_equal(swanctl(s, out, sizeof(out), "--load-all --noprompt"), 0);
    assert_null(strstr(out, "unloaded shared key"));
    assert_null(strstr(out, "unloaded private key"));
    assert_shows("successfully loaded 2 connections, 0 unloaded");
    // a fault changes nothing, and the same file without half of it takes that away
    char *before = everything(s);
    write_file(s, "swanctl.conf", "connections { site { frobnicate = 1\n } }\n");
    espalier_load(s, 2);
    assert_shows("unknown option: frobnicate");
    char *after = everything(s);
    assert_string_equal(after, before);
    free(before);
    free(after);
    write_file(s, "swanctl.conf",
               "connections {\n site {\n include body.conf\n }\n}\nsecrets {\n ike-1 {\n id-a = "
               "west.example\n id-b = east.example\n secret = secret\n }\n pkcs8-b {\n file = b.pem\n "
               "secret = geheim\n }\n}\n");
    espalier_load(s, 0);
    assert_shows("unloaded connection 'certs'\n");
    assert_shows("unloaded pool 'road'\n");
    assert_shows("unloaded authority 'root'\n");
    assert_shows("unloaded secret 'eap-1'\n");
    assert_null(strstr(out, "unloaded private key"));
}

static void test_load_by_espalierd_is_what_swanctl_loads(void **state)
{
    (void)state;
    load_as_swanctl_does(&lab.west, &lab.east, false);
}

// With the secrets that espalier has sent, hexadecimal and as text.
static void test_load_by_charon_is_what_swanctl_loads_and_a_tunnel_comes_up(void **state)
{
    (void)state;
    if (!have_strongswan()) {
        print_message("skip: strongSwan is not installed\n");
        skip();
    }
    load_as_swanctl_does(&lab.east, &lab.west, true);
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
    write_whole(&lab.west, &lab.east);
    espalier_load(&lab.west, 0);
    espalier(&lab.west, 0, "up net --timeout 20");
    assert_shows("authentication of 'east.example' with pre-shared key successful");
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
}

// ---- as it happens

static bool file_has(const char *path, const char *text)
{
    return sh("grep -q -F '%s' %s", text, path) == 0;
}

struct heard {
    const char *path, *text;
};

static bool heard(void *ctx)
{
    const struct heard *h = ctx;
    espalier(&lab.west, 0, "conns");
    sh("SWANCTL_DIR=%s/swanctl swanctl --load-creds --uri unix://%s/vici", lab.west.dir, lab.west.dir);
    return file_has(h->path, h->text);
}

static pid_t follow(const char *what, const char *path)
{
    char cmd[700];
    snprintf(cmd, sizeof(cmd), "exec %s/espalier %s --uri unix://%s/vici", bin_dir(), what, lab.west.dir);
    return spawn(path, NULL, (char *[]){"sh", "-c", cmd, NULL});
}

static bool named_in_events(void *path)
{
    return file_has(path, "\"event\":\"child-updown\"") && file_has(path, "\"up\":false");
}

static bool is_waiting(void *path)
{
    return file_has(path, "no daemon listens there");
}

static bool is_back(void *path)
{
    return file_has(path, "espalier: the daemon answers again");
}

static void test_log_and_events_as_they_happen_until_the_daemon_goes(void **state)
{
    char log[200], events[200], watch[200];
    int status = 0;
    (void)state;
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
    snprintf(log, sizeof(log), "%s/log.out", lab.west.dir);
    snprintf(events, sizeof(events), "%s/events.out", lab.west.dir);
    snprintf(watch, sizeof(watch), "%s/watch.out", lab.west.dir);
    pid_t reader = follow("log", log), listener = follow("events --json", events);
    pid_t watcher = follow("sas --watch --interval 1 --json", watch);
    assert_true(wait_for(heard, &(struct heard){log, "[CFG] loaded IKE shared key"}, PATIENCE_MS));
    espalier(&lab.west, 0, "up net --level -1");
    assert_string_equal(out, "site/net is up\n");
    espalier(&lab.west, 0, "down net");
    assert_true(wait_for(named_in_events, events, PATIENCE_MS));
    assert_true(file_has(log, "[IKE] <site|1> initiating IKE_SA site[1]"));
    assert_true(file_has(events, "\"name\":\"net\""));
    assert_true(file_has(watch, "{\"sas\":["));
    assert_true(stop(&lab.west.daemon, SIGTERM, PATIENCE_MS));
    pid_t all[] = {reader, listener};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(waitpid(all[i], &status, 0), all[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
    }
    assert_true(file_has(log, "the daemon has closed the connection"));
    espalier(&lab.west, 3, "sas");
    assert_shows("no daemon listens there");
    // the watcher waits for the next one
    assert_true(wait_for(is_waiting, watch, PATIENCE_MS));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
    assert_true(wait_for(is_back, watch, PATIENCE_MS));
    assert_true(stop(&watcher, SIGTERM, PATIENCE_MS));
}

int main(void)
{
    if (!have_swanctl()) {
        fprintf(stderr, "missing: swanctl (Debian package strongswan-swanctl)\n");
        return 3;
    }
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_tunnel_by_espalierd_comes_up_is_rekeyed_and_goes),
        T(test_tunnel_by_charon_comes_up_is_rekeyed_and_goes),
        T(test_certificates_and_pools_as_they_are_loaded),
        T(test_load_by_espalierd_is_what_swanctl_loads),
        T(test_load_by_charon_is_what_swanctl_loads_and_a_tunnel_comes_up),
        T(test_log_and_events_as_they_happen_until_the_daemon_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
