// SPDX-License-Identifier: Apache-2.0
// What etcd's gateway is asked and answers, octet by octet (answers as etcd 3.4.23 gave them to curl), and
// what is wrong with those that are not; the files of TLS.
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "ctrl/fleet/etcd_http.h"
#include "ctrl/fleet/etcd_json.h"
#include "ctrl/fleet/tls_file.h"

static void asks(const struct etcd_question *q, const char *path, const char *body)
{
    const char *at = NULL;
    char *text = etcd_json_question(q, &at);
    assert_string_equal(at, path);
    assert_string_equal(text, body);
    free(text);
}

static void test_questions_are_etcds(void **state)
{
    (void)state;
    asks(&(struct etcd_question){.kind = ETCD_RANGE, .key = "a/"}, "/v3/kv/range",
         "{\"key\":\"YS8=\",\"range_end\":\"YTA=\"}");
    asks(
        &(struct etcd_question){
            .kind = ETCD_RANGE, .key = "a/", .after = "a/b", .revision = 7, .most = 2, .keys_only = true},
        "/v3/kv/range",
        "{\"key\":\"YS9iAA==\",\"range_end\":\"YTA=\",\"revision\":\"7\",\"limit\":\"2\",\"keys_only\":"
        "true}");
    asks(&(struct etcd_question){.kind = ETCD_GRANT, .ttl = 10}, "/v3/lease/grant", "{\"TTL\":\"10\"}");
    asks(&(struct etcd_question){.kind = ETCD_KEEPALIVE, .lease = 18446744073709551615u},
         "/v3/lease/keepalive", "{\"ID\":\"18446744073709551615\"}");
    asks(&(struct etcd_question){.kind = ETCD_LEASED, .lease = 7}, "/v3/lease/timetolive",
         "{\"ID\":\"7\",\"keys\":true}");
    const struct etcd_compare c = {.key = "k", .creation = true};
    const struct etcd_op op[] = {{.change = ETCD_PUT, .key = "k", .value = "\0v", .len = 2, .lease = 5},
                                 {.change = ETCD_DELETE_PREFIX, .key = "d/"}};
    asks(&(struct etcd_question){.kind = ETCD_TXN, .compare = &c, .compares = 1, .op = op, .ops = 2},
         "/v3/kv/txn",
         "{\"compare\":[{\"result\":\"EQUAL\",\"target\":\"CREATE\",\"key\":\"aw==\",\"create_revision\":"
         "\"0\"}],"
         "\"success\":[{\"request_put\":{\"key\":\"aw==\",\"value\":\"AHY=\",\"lease\":\"5\"}},"
         "{\"request_delete_range\":{\"key\":\"ZC8=\",\"range_end\":\"ZDA=\"}}]}");
    char *w = etcd_json_watch("p", 3);
    assert_string_equal(
        w, "{\"create_request\":{\"key\":\"cA==\",\"range_end\":\"cQ==\",\"start_revision\":\"3\"}}");
    free(w);
}

static struct etcd_answer a;

static void answers(enum etcd_kind kind, long status, const char *body)
{
    etcd_answer_free(&a);
    etcd_json_answer(kind, status, body, strlen(body), &a);
}

#define HEAD "\"header\":{\"cluster_id\":\"1\",\"member_id\":\"2\",\"revision\":\"9\",\"raft_term\":\"2\"}"

static void test_answers_are_read(void **state)
{
    (void)state;
    answers(ETCD_RANGE, 200,
            "{" HEAD ",\"kvs\":[{\"key\":\"YS9i\",\"create_revision\":\"4\",\"mod_revision\":\"6\","
            "\"version\":\"2\",\"value\":\"AHY=\",\"lease\":\"77\"},{\"key\":\"Yw==\"}],\"more\":true,"
            "\"count\":\"3\"}");
    assert_int_equal(a.error, 0);
    assert_int_equal(a.revision, 9);
    assert_int_equal(a.count, 2);
    assert_true(a.more);
    assert_string_equal(a.kv[0].key, "a/b");
    assert_int_equal(a.kv[0].len, 2);
    assert_memory_equal(a.kv[0].value, "\0v", 2);
    assert_int_equal(a.kv[0].created, 4);
    assert_int_equal(a.kv[0].changed, 6);
    assert_int_equal(a.kv[0].lease, 77);
    assert_int_equal(a.kv[1].len, 0);
    answers(ETCD_TXN, 200, "{" HEAD ",\"succeeded\":true,\"responses\":[{\"response_put\":{}}]}");
    assert_true(a.succeeded && !a.error);
    answers(ETCD_TXN, 200, "{" HEAD "}");
    assert_false(a.succeeded);
    answers(ETCD_GRANT, 200, "{" HEAD ",\"ID\":\"7587848390000000001\",\"TTL\":\"3\"}");
    assert_int_equal(a.lease, 7587848390000000001u);
    assert_int_equal(a.ttl, 3);
    answers(ETCD_KEEPALIVE, 200, "{\"result\":{" HEAD ",\"ID\":\"5\",\"TTL\":\"3\"}}");
    assert_int_equal(a.ttl, 3);
    answers(ETCD_KEEPALIVE, 200, "{\"result\":{" HEAD ",\"ID\":\"5\"}}"); // it has ended
    assert_int_equal(a.error, 0);
    assert_int_equal(a.ttl, 0);
    answers(ETCD_LEASED, 200,
            "{" HEAD ",\"ID\":\"5\",\"TTL\":\"2\",\"grantedTTL\":\"9\",\"keys\":[\"YS9i\",\"Yw==\"]}");
    assert_true(!a.error && a.lease == 5 && a.ttl == 2 && a.count == 2);
    assert_string_equal(a.kv[0].key, "a/b");
    assert_string_equal(a.kv[1].key, "c");
    answers(ETCD_LEASED, 200, "{" HEAD ",\"ID\":\"5\",\"TTL\":\"-1\"}"); // likewise
    assert_true(!a.error && !a.ttl && !a.count);
    answers(ETCD_LEASED, 200, "{" HEAD ",\"ID\":\"5\",\"TTL\":\"2\",\"keys\":[\"YS9i\",\"?\"]}");
    assert_int_equal(a.error, -EBADMSG);
    etcd_answer_free(&a);
}

static void test_refusals_have_names(void **state)
{
    (void)state;
    answers(ETCD_REVOKE, 404,
            "{\"error\":\"etcdserver: requested lease not found\",\"message\":\"x\",\"code\":5}");
    assert_int_equal(a.error, -ENOENT);
    assert_non_null(strstr(a.text, "requested lease not found"));
    answers(ETCD_RANGE, 400,
            "{\"error\":\"etcdserver: mvcc: required revision has been compacted\",\"code\":11}");
    assert_int_equal(a.error, -ESTALE);
    answers(ETCD_RANGE, 403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}");
    assert_int_equal(a.error, -EACCES);
    answers(ETCD_RANGE, 503, "{\"error\":\"etcdserver: no leader\",\"code\":14}");
    assert_int_equal(a.error, -EIO);
    answers(ETCD_RANGE, 404, "404 page not found\n");
    assert_int_equal(a.error, -EIO);
    assert_non_null(strstr(a.text, "HTTP status 404"));
}

static void test_nonsense_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "{\"header\":{\"revision\":\"x\"}}",
                                      "{" HEAD ",\"kvs\":[{}]}",
                                      "{" HEAD ",\"kvs\":[{\"key\":\"YQ\"}]}",
                                      "{" HEAD ",\"kvs\":[{\"key\":\"!!!!\"}]}",
                                      "{" HEAD ",\"kvs\":[{\"key\":\"YQBi\"}]}", // a NUL in it
                                      "{" HEAD ",\"kvs\":[{\"key\":\"YQ==\",\"value\":7}]}",
                                      "{" HEAD ",\"kvs\":[{\"key\":\"YQ==\",\"lease\":\"-1\"}]}"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        answers(ETCD_RANGE, 200, bad[i]);
        if (a.error != -EBADMSG)
            fail_msg("%s is taken", bad[i]);
    }
    answers(ETCD_GRANT, 200, "{" HEAD "}");
    assert_int_equal(a.error, -EBADMSG);
    etcd_answer_free(&a);
}

static void test_news_are_read(void **state)
{
    struct etcd_news n;
    static const char *const lines[] = {
        "{\"result\":{" HEAD ",\"created\":true}}",
        "{\"result\":{" HEAD
        ",\"events\":[{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"9\",\"value\":\"dg==\"}},"
        "{\"type\":\"DELETE\",\"kv\":{\"key\":\"Yg==\",\"mod_revision\":\"9\"}}]}}",
        "{\"result\":{" HEAD ",\"canceled\":true,\"compact_revision\":\"5\"}}",
        "{\"result\":{" HEAD ",\"canceled\":true,\"cancel_reason\":\"no\"}}",
        "{\"error\":{\"grpc_code\":14,\"message\":\"no leader\"}}",
        "hello"};
    static const int errors[] = {0, 0, -ESTALE, -EIO, -EIO, -EBADMSG};
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        etcd_json_news(lines[i], strlen(lines[i]), &n);
        assert_int_equal(n.error, errors[i]);
        assert_int_equal(n.count, i == 1 ? 2 : 0);
        if (i == 1)
            assert_true(!n.event[0].deleted && n.event[1].deleted && strcmp(n.event[1].kv.key, "b") == 0);
        etcd_news_free(&n);
    }
}

static void test_endpoints_are_urls(void **state)
{
    struct esp_error err = {0};
    (void)state;
    assert_int_equal(etcd_endpoints_check("https://a:2379", &err), 0);
    assert_int_equal(etcd_endpoints_check(" https://a:2379/, http://[::1]:2379,https://c ", &err), 0);
    assert_int_equal(etcd_endpoints_check("", &err), -EINVAL);
    assert_int_equal(etcd_endpoints_check("a:2379", &err), -EINVAL);
    assert_non_null(strstr(err.text, "'a:2379': expected https://"));
    assert_int_equal(etcd_endpoints_check("https://a, file:///etc/passwd", &err), -EINVAL);
    assert_int_equal(
        etcd_endpoints_check(
            "http://1,http://2,http://3,http://4,http://5,http://6,http://7,http://8,http://9", &err),
        -EINVAL);
}

// ---- nobody there

static void kept(void *ctx, const struct etcd_answer *answer)
{
    struct etcd_answer *to = ctx;
    *to = *answer;
    to->kv = NULL;
    to->count = 0;
    to->revision = 1;
}

static void test_who_is_not_there_is_named(void **state)
{
    struct loop *l = loop_new();
    struct esp_error err = {0};
    struct etcd_answer got = {0};
    const struct etcd_http_config c = {.endpoints = "http://127.0.0.1:1,http://127.0.0.1:2",
                                       .timeout_ms = 500};
    (void)state;
    struct etcd *e = etcd_http_new(l, &c, &err);
    assert_non_null(e);
    assert_int_equal(etcd_ask(e, &(struct etcd_question){.kind = ETCD_GRANT, .ttl = 5}, kept, &got), 0);
    assert_int_equal(got.revision, 0); // not before the call has returned
    while (!got.revision)
        loop_once(l, 10);
    assert_int_equal(got.error, -EHOSTUNREACH);
    assert_non_null(strstr(got.text, "http://127.0.0.1:")); // both were asked
    etcd_free(e);
    loop_free(l);
}

// ---- one that says too much

static struct server {
    int fd;
    pthread_t thread;
    char url[40];
    size_t octets; // of the body that it promises, and sends all but the last of
} server;

static void *serve(void *ctx)
{
    static char junk[1 << 16];
    int client[16], clients = 0;
    (void)ctx;
    memset(junk, ' ', sizeof(junk));
    while (clients < 16 && (client[clients] = accept(server.fd, NULL, NULL)) >= 0) {
        int fd = client[clients++];
        char request[2048], head[100];
        int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", server.octets);
        if (recv(fd, request, sizeof(request), 0) <= 0 || send(fd, head, (size_t)n, MSG_NOSIGNAL) != n)
            continue;
        for (size_t left = server.octets - 1; left;) {
            ssize_t sent = send(fd, junk, left < sizeof(junk) ? left : sizeof(junk), MSG_NOSIGNAL);
            if (sent <= 0)
                break;
            left -= (size_t)sent;
        }
    }
    while (clients)
        close(client[--clients]);
    return NULL;
}

static void serve_begin(size_t octets)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    server.octets = octets;
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(server.fd, 32), 0);
    assert_int_equal(getsockname(server.fd, (struct sockaddr *)&in, &len), 0);
    snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%u", ntohs(in.sin_port));
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void serve_end(void)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
}

// So many questions at once; how many of them had an answer within the time that it takes to be silent.
static unsigned ask_all(enum etcd_kind kind, struct etcd_answer *got, unsigned n)
{
    struct esp_error err = {0};
    struct loop *l = loop_new();
    const struct etcd_http_config c = {.endpoints = server.url, .timeout_ms = 20000};
    struct etcd *e = etcd_http_new(l, &c, &err);
    unsigned done = 0;
    assert_non_null(e);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(
            etcd_ask(e, &(struct etcd_question){.kind = kind, .key = "k", .ttl = 5}, kept, &got[i]), 0);
    while (!done) {
        loop_once(l, 10);
        for (unsigned i = 0; i < n; i++)
            done += got[i].revision != 0;
    }
    etcd_free(e);
    loop_free(l);
    return done;
}

static void test_a_long_answer_to_a_short_question_is_refused(void **state)
{
    struct etcd_answer got = {0};
    (void)state;
    serve_begin(ETCD_SHORT_MOST + 2);
    assert_int_equal(ask_all(ETCD_GRANT, &got, 1), 1);
    assert_int_equal(got.error, -EBADMSG);
    assert_non_null(strstr(got.text, "more than 65536 octets"));
    serve_end();
}

// Each is within its own bound.
static void test_all_answers_together_have_a_bound(void **state)
{
    struct etcd_answer got[8] = {{0}};
    (void)state;
    serve_begin(ETCD_ANSWER_MOST / 2);
    assert_in_range(ask_all(ETCD_RANGE, got, 8), 1, 8);
    for (int i = 0; i < 8; i++)
        if (got[i].revision) {
            assert_int_equal(got[i].error, -EBADMSG);
            assert_non_null(strstr(got[i].text, "octets at once"));
        }
    serve_end();
}

static void heard(void *ctx, const struct etcd_news *n)
{
    *(int *)ctx = n->error;
}

// It would be as much again from the same revision: everything is to be read anew.
static void test_a_watch_that_says_too_much_at_once_has_lost_its_place(void **state)
{
    int error = 0;
    struct esp_error err = {0};
    struct loop *l = loop_new();
    (void)state;
    serve_begin(ETCD_ANSWER_MOST + 2);
    const struct etcd_http_config c = {.endpoints = server.url, .timeout_ms = 20000};
    struct etcd *e = etcd_http_new(l, &c, &err);
    assert_int_equal(etcd_watch(e, "k", 1, heard, &error), 0);
    while (!error)
        loop_once(l, 10);
    assert_int_equal(error, -EBADMSG);
    etcd_free(e);
    loop_free(l);
    serve_end();
}

static size_t allocated;

static void *counting(size_t n)
{
    allocated += n;
    return malloc(n);
}

static void test_many_small_values_are_not_read(void **state)
{
    size_t n = 4 << 20;
    char *text = malloc(n);
    (void)state;
    assert_non_null(text);
    memcpy(text, "{" HEAD ",\"kvs\":[", strlen("{" HEAD ",\"kvs\":["));
    size_t at = strlen("{" HEAD ",\"kvs\":[");
    for (; at + 4 < n; at += 3)
        memcpy(text + at, "{},", 3);
    memcpy(text + at - 1, "]}", 2);
    etcd_answer_free(&a);
    json_set_alloc_funcs(counting, free);
    allocated = 0;
    etcd_json_answer(ETCD_RANGE, 200, text, at + 1, &a);
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(a.error, -EBADMSG);
    assert_in_range(allocated, 0, 1 << 20);
    free(text);
}

// ---- files

static void test_tls_files_go_through_a_memory_file(void **state)
{
    struct settings s;
    struct tls_files t, u;
    struct esp_error err = {0};
    char path[] = "/tmp/espalier-tls-XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    settings_default(&s);
    assert_int_equal(write(fd, "a certificate\n", 14), 14);
    snprintf(s.fleet_cert, sizeof(s.fleet_cert), "%s", path);
    assert_int_equal(tls_files_read(&t, &s, &err), 0);
    int memory = tls_files_put(&t);
    assert_true(memory >= 0);
    assert_int_equal(tls_files_take(&u, memory), 0);
    assert_int_equal(u.ca.len, 0);
    assert_int_equal(u.key.len, 0);
    assert_int_equal(u.cert.len, 14);
    assert_memory_equal(u.cert.p, "a certificate\n", 14);
    assert_int_equal(write(memory, "x", 1), -1); // sealed
    tls_files_free(&t);
    tls_files_free(&u);
    close(memory);
    close(fd);
    unlink(path);
    assert_int_equal(tls_files_read(&t, &s, &err), -ENOENT);
    assert_string_equal(err.field, "fleet.cert");
    assert_non_null(strstr(err.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_questions_are_etcds),
        cmocka_unit_test(test_answers_are_read),
        cmocka_unit_test(test_refusals_have_names),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_news_are_read),
        cmocka_unit_test(test_endpoints_are_urls),
        cmocka_unit_test(test_who_is_not_there_is_named),
        cmocka_unit_test(test_a_long_answer_to_a_short_question_is_refused),
        cmocka_unit_test(test_all_answers_together_have_a_bound),
        cmocka_unit_test(test_a_watch_that_says_too_much_at_once_has_lost_its_place),
        cmocka_unit_test(test_many_small_values_are_not_read),
        cmocka_unit_test(test_tls_files_go_through_a_memory_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
