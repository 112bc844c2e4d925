// SPDX-License-Identifier: Apache-2.0
// The fetch process against HTTP servers that are good, slow, wrong and endless, one of each path, and a name
// server that does not answer (getaddrinfo is the test's own, which libcurl calls as well).
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctrl/fetch/fetch.h"
#include "tests/unit/busy.h"

enum { BIG = 1 << 20, REQS = 200 };

// ---- the servers

static uint8_t big[BIG];
static int listener;
static unsigned port;

static void say(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

static void answer_big(int fd, size_t n)
{
    char head[100];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
    say(fd, head);
    for (size_t at = 0; at < n;) {
        ssize_t sent = write(fd, big + at, n - at);
        if (sent <= 0)
            return;
        at += (size_t)sent;
    }
}

static void redirect(int fd, const char *to)
{
    char head[300];
    snprintf(head, sizeof(head), "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", to);
    say(fd, head);
}

static void answer(int fd, char *request)
{
    char path[100] = "", url[200];
    sscanf(request, "%*s %99s", path);
    if (strcmp(path, "/ok") == 0)
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    else if (strcmp(path, "/post") == 0)
        say(fd, strncmp(request, "POST", 4) == 0 &&
                        strstr(request, "Content-Type: application/ocsp-request\r\n") &&
                        strstr(request, "\r\n\r\nquestion")
                    ? "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer"
                    : "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
    else if (strcmp(path, "/missing") == 0)
        say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n");
    else if (strcmp(path, "/big") == 0)
        answer_big(fd, BIG);
    else if (strcmp(path, "/endless") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\n\r\n");
        while (write(fd, big, 65536) > 0)
            ;
    } else if (strcmp(path, "/heads") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\n");
        while (write(fd, "X-Endless: 0123456789012345678901234567890123456789\r\n", 53) > 0)
            ;
    } else if (strcmp(path, "/short") == 0)
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
    else if (strcmp(path, "/nonsense") == 0)
        say(fd, "\x01\x02\x03 nonsense\r\n\r\n");
    else if (strcmp(path, "/moved") == 0) {
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/ok", port);
        redirect(fd, url);
    } else if (strcmp(path, "/round") == 0)
        redirect(fd, "/round");
    else if (strcmp(path, "/to-https") == 0)
        redirect(fd, "https://127.0.0.1/ok");
    else if (strcmp(path, "/to-file") == 0)
        redirect(fd, "file:///etc/passwd");
    else if (strcmp(path, "/slow") == 0)
        while (read(fd, request, 1) > 0) // until the other side gives up
            ;
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char request[4096];
    size_t n = 0;
    ssize_t got;
    while ((got = read(fd, request + n, sizeof(request) - 1 - n)) > 0) {
        n += (size_t)got;
        request[n] = 0;
        char *end = strstr(request, "\r\n\r\n");
        if (end &&
            (strncmp(request, "POST", 4) != 0 || strstr(end, "question") || strncmp(end + 4, "", 1) == 0))
            break;
    }
    if (got > 0)
        answer(fd, request);
    close(fd);
    return NULL;
}

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        pthread_t t;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        if (pthread_create(&t, NULL, serve_one, (void *)(intptr_t)fd) == 0)
            pthread_detach(t);
    }
}

// ---- names

static int numeric(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    struct addrinfo *ai = calloc(1, sizeof(*ai) + sizeof(struct sockaddr_in));
    struct sockaddr_in *sa = (void *)(ai + 1);
    if (hints && hints->ai_family != AF_UNSPEC && hints->ai_family != AF_INET) {
        free(ai);
        return EAI_NONAME;
    }
    sa->sin_family = AF_INET;
    sa->sin_port = htons((uint16_t)atoi(service ? service : "0"));
    inet_pton(AF_INET, host, &sa->sin_addr);
    *ai = (struct addrinfo){.ai_family = AF_INET,
                            .ai_socktype = SOCK_STREAM,
                            .ai_addrlen = sizeof(*sa),
                            .ai_addr = (struct sockaddr *)sa};
    *out = ai;
    return 0;
}

int getaddrinfo(const char *restrict host, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    if (strcmp(host, "slow.test") == 0) {
        struct timespec t = {.tv_sec = 4};
        nanosleep(&t, NULL);
    }
    return strcmp(host, "none.test") == 0 ? EAI_NONAME : numeric("127.0.0.1", service, hints, out);
}

void freeaddrinfo(struct addrinfo *ai)
{
    free(ai);
}

// ---- the rig

static struct loop *loop;
static struct fetch *fetch;
static struct ipc_chan *ike;
static uint32_t last_req;
static struct {
    bool done, ok;
    unsigned pieces;
    size_t len;
    uint64_t at;
    char text[400];
} got[REQS];
static uint8_t whole[BIG + 1];
static uint64_t longest_turn;

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    const struct msg_FETCHED *f = &m->FETCHED;
    (void)ctx, (void)c;
    assert_int_equal(t, MSG_FETCHED);
    assert_true(f->req < REQS && !got[f->req].done);
    got[f->req].ok = f->ok;
    got[f->req].done = !f->more;
    got[f->req].pieces++;
    got[f->req].at = now_ms();
    snprintf(got[f->req].text, sizeof(got[f->req].text), "%s", f->text);
    assert_true(f->body.len <= FETCH_PIECE && got[f->req].len + f->body.len <= sizeof(whole));
    if (f->body.len)
        memcpy(whole + got[f->req].len, f->body.p, f->body.len);
    got[f->req].len += f->body.len;
}

static void on_closed(void *ctx, struct ipc_chan *c)
{
    (void)ctx, (void)c;
}

static void join_ike(void)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(fetch_attach(fetch, ROOM_IKE, pair[0]), 0);
    ike = ipc_open(loop, pair[1], ROOM_IKE, ROOM_FETCH, &handler, NULL);
    assert_non_null(ike);
}

static void open_room(bool local)
{
    loop = loop_new();
    fetch = fetch_new(loop, local);
    assert_non_null(fetch);
    join_ike();
    memset(got, 0, sizeof(got));
    last_req = 0;
    longest_turn = 0;
}

static int setup(void **state)
{
    (void)state;
    open_room(true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ipc_close(ike);
    fetch_free(fetch);
    loop_free(loop);
    return 0;
}

static uint32_t ask_url(const char *url, const char *body, uint32_t most, uint32_t ms)
{
    struct msg_FETCH m = {.req = ++last_req, .body = slice_str(body), .most = most, .timeout_ms = ms};
    snprintf(m.url, sizeof(m.url), "%s", url);
    snprintf(m.content_type, sizeof(m.content_type), "%s", "application/ocsp-request");
    assert_int_equal(ipc_send(ike, MSG_FETCH, &m), 0);
    return m.req;
}

static uint32_t ask(const char *host, const char *path, uint32_t most, uint32_t ms)
{
    char url[200];
    snprintf(url, sizeof(url), "http://%s:%u%s", host, port, path);
    return ask_url(url, strcmp(path, "/post") == 0 ? "question" : "", most, ms);
}

static void turn(void)
{
    struct busy busy;
    busy_from(&busy);
    loop_once(loop, 0);
    uint64_t took = busy_own_ms(&busy);
    longest_turn = took > longest_turn ? took : longest_turn;
    loop_once(loop, 20);
}

static void wait_for(uint32_t req)
{
    uint64_t end = now_ms() + PATIENCE_MS;
    while (!got[req].done && now_ms() < end)
        turn();
    if (!got[req].done)
        fail_msg("request %u is not answered after %d ms", req, PATIENCE_MS);
}

static void taken(uint32_t req, const char *body)
{
    wait_for(req);
    if (!got[req].ok)
        fail_msg("got \"%s\", expected \"%s\"", got[req].text, body);
    assert_int_equal(got[req].len, strlen(body));
    assert_memory_equal(whole, body, strlen(body));
}

static void refused(uint32_t req, const char *says)
{
    wait_for(req);
    if (got[req].ok || !strstr(got[req].text, says))
        fail_msg("got %s \"%s\", expected a refusal with \"%s\"", got[req].ok ? "an answer" : "",
                 got[req].text, says);
    assert_int_equal(got[req].len, 0);
}

// ---- answers

static void test_get_and_post_give_the_answer(void **state)
{
    (void)state;
    taken(ask("127.0.0.1", "/ok", 0, 0), "hello");
    taken(ask("good.test", "/ok", 5, 0), "hello");
    taken(ask("127.0.0.1", "/post", 0, 0), "answer");
}

static void test_long_answer_comes_whole_in_pieces(void **state)
{
    (void)state;
    uint32_t req = ask("127.0.0.1", "/big", 0, 0);
    wait_for(req);
    assert_true(got[req].ok);
    assert_int_equal(got[req].pieces, BIG / FETCH_PIECE);
    assert_int_equal(got[req].len, BIG);
    assert_memory_equal(whole, big, BIG);
}

static void test_answer_that_is_none_is_refused_with_the_reason(void **state)
{
    (void)state;
    refused(ask("127.0.0.1", "/missing", 0, 0), "HTTP status 404");
    refused(ask("127.0.0.1", "/short", 0, 0), "");
    refused(ask("127.0.0.1", "/nonsense", 0, 0), "");
    refused(ask("127.0.0.1", "/heads", 0, 0), "");
    refused(ask("none.test", "/ok", 0, 0), "resolve");
    refused(ask_url("http://127.0.0.1:1/", "", 0, 0), "connect");
}

static void test_answer_longer_than_asked_for_is_broken_off(void **state)
{
    (void)state;
    refused(ask("127.0.0.1", "/ok", 4, 0), "more octets than are taken");
    refused(ask("127.0.0.1", "/endless", 0, 0), "more octets than are taken");
}

static void test_redirection_stays_with_http_and_ends(void **state)
{
    (void)state;
    taken(ask("127.0.0.1", "/moved", 0, 0), "hello");
    refused(ask("127.0.0.1", "/round", 0, 0), "redirects");
    refused(ask("127.0.0.1", "/to-https", 0, 0), "no http:// URL");
    refused(ask("127.0.0.1", "/to-file", 0, 0), "no http:// URL");
}

static void test_url_of_another_kind_is_refused_by_name(void **state)
{
    (void)state;
    refused(ask_url("https://127.0.0.1/", "", 0, 0), "https is not asked");
    refused(ask_url("file:///etc/passwd", "", 0, 0), "no http:// URL");
    refused(ask_url("ldap://127.0.0.1/cn=x", "", 0, 0), "no http:// URL");
    refused(ask_url("", "", 0, 0), "no http:// URL");
    refused(ask_url("http://", "", 0, 0), "no URL that can be read");
    char url[200];
    snprintf(url, sizeof(url), "http://user:secret@127.0.0.1:%u/ok", port);
    refused(ask_url(url, "", 0, 0), "");
}

static void test_proxy_of_the_environment_is_not_asked(void **state)
{
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1/", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1/", 1);
    taken(ask("127.0.0.1", "/ok", 0, 0), "hello");
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

static void test_this_machine_and_its_links_are_not_asked(void **state)
{
    static const char *const urls[] = {
        "127.0.0.1",          "127.9.9.9",  "0.0.0.0",    "169.254.169.254", "255.255.255.255",
        "224.0.0.1",          "[::1]",      "[::]",       "[fe80::1]",       "[ff02::1]",
        "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "rebound.test"};
    (void)state;
    teardown(NULL);
    open_room(false);
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        uint32_t req = ask(urls[i], "/ok", 0, 0);
        wait_for(req);
        if (got[req].ok || !strstr(got[req].text, "which are not asked"))
            fail_msg("%s: got \"%s\"", urls[i], got[req].text);
    }
}

// By whichever of its addresses, of which the test takes what the machine has.
static void test_own_addresses_are_not_asked(void **state)
{
    struct ifaddrs *all = NULL;
    (void)state;
    teardown(NULL);
    open_room(false);
    assert_int_equal(getifaddrs(&all), 0);
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        char text[INET6_ADDRSTRLEN], host[INET6_ADDRSTRLEN + 2];
        int family = i->ifa_addr ? i->ifa_addr->sa_family : 0;
        if ((family != AF_INET && family != AF_INET6) || !(i->ifa_flags & IFF_UP))
            continue;
        const void *at = family == AF_INET
                             ? (const void *)&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr
                             : (const void *)&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr;
        assert_non_null(inet_ntop(family, at, text, sizeof(text)));
        snprintf(host, sizeof(host), family == AF_INET ? "%s" : "[%s]", text);
        uint32_t req = ask(host, "/ok", 0, 0);
        wait_for(req);
        if (got[req].ok || !strstr(got[req].text, "which are not asked"))
            fail_msg("%s: got \"%s\"", host, got[req].text);
    }
    freeifaddrs(all);
}

// The second address of a network is spoken to from the first.
static void test_second_own_address_of_a_network_is_not_asked(void **state)
{
    static const char *const hosts[] = {"10.91.0.1", "10.91.0.2", "[::ffff:10.91.0.2]"};
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    (void)state;
    teardown(NULL);
    open_room(false);
    assert_true(home >= 0);
    if (unshare(CLONE_NEWNET) < 0) {
        close(home);
        skip(); // only root has namespaces
    }
    assert_int_equal(system("ip link set lo up && ip addr add 10.91.0.1/24 dev lo && "
                            "ip addr add 10.91.0.2/24 dev lo"),
                     0);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        uint32_t req = ask(hosts[i], "/ok", 0, 0);
        wait_for(req);
        if (got[req].ok || !strstr(got[req].text, "crl_uris can name as file:///"))
            fail_msg("%s: got \"%s\"", hosts[i], got[req].text);
    }
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    close(home);
}

// ---- time and numbers

static void test_slow_server_holds_up_no_other_and_ends_in_time(void **state)
{
    (void)state;
    struct busy busy;
    busy_from(&busy);
    uint64_t begin = now_ms();
    uint32_t slow = ask("127.0.0.1", "/slow", 0, 700), mute = ask("127.0.0.1", "/slow", 0, 900);
    taken(ask("127.0.0.1", "/ok", 0, 0), "hello");
    assert_true(busy_own_ms(&busy) < 600);
    refused(slow, "did not answer in time");
    uint64_t waited = busy_waited_us(&busy) / 1000;
    refused(mute, "did not answer in time");
    assert_true(got[slow].at - begin >= 700 && got[slow].at - begin < 1500 + waited);
}

static void test_slow_name_server_holds_up_no_other_and_no_turn_of_the_loop(void **state)
{
    (void)state;
    struct busy busy;
    busy_from(&busy);
    uint32_t slow = ask("slow.test", "/ok", 0, 400);
    taken(ask("127.0.0.1", "/ok", 0, 0), "hello");
    assert_true(busy_own_ms(&busy) < 350);
    refused(slow, "in time");
    assert_true(busy_own_ms(&busy) < 2000); // it answers after 4 s
    assert_true(longest_turn < 1000);
}

static void test_one_host_takes_no_more_than_its_share(void **state)
{
    (void)state;
    uint32_t slow[FETCH_AT_ONCE];
    for (int i = 0; i < FETCH_AT_ONCE; i++)
        slow[i] = ask("127.0.0.1", "/slow", 0, 3000);
    taken(ask("other.test", "/ok", 0, 2000), "hello"); // although as many are asked for as can be at once
    for (int i = 0; i < FETCH_AT_ONCE; i++)
        assert_false(got[slow[i]].done);
}

static void test_more_than_can_wait_are_refused_and_the_waiting_end_in_time(void **state)
{
    (void)state;
    enum { N = FETCH_WAITING + FETCH_AT_ONCE + 5 };
    unsigned many = 0, late = 0;
    for (int i = 0; i < N; i++) // those that run stay longer than the others can wait
        ask("127.0.0.1", "/slow", 0, i < FETCH_OF_A_HOST ? 20000 : 1000);
    struct busy busy;
    busy_from(&busy);
    for (uint32_t req = FETCH_OF_A_HOST + 1; req <= N; req++)
        wait_for(req);
    assert_true(busy_own_ms(&busy) < 3000);
    for (uint32_t req = FETCH_OF_A_HOST + 1; req <= N; req++) {
        many += strstr(got[req].text, "too many") != NULL;
        late += strstr(got[req].text, "not its turn") != NULL;
    }
    assert_int_equal(many, N - FETCH_WAITING - FETCH_OF_A_HOST);
    assert_int_equal(late, FETCH_WAITING);
}

static void test_room_without_ike_drops_everything_and_serves_the_next_one(void **state)
{
    (void)state;
    ask("127.0.0.1", "/slow", 0, 3000);
    ask("slow.test", "/ok", 0, 3000);
    for (int i = 0; i < 5; i++)
        turn();
    ipc_close(ike);
    ike = NULL;
    struct busy busy;
    busy_from(&busy);
    for (int i = 0; i < 5; i++)
        turn();
    assert_null(fetch_channel(fetch, ROOM_IKE));
    assert_true(busy_own_ms(&busy) < 1000);
    assert_false(loop_stopped(loop));
    join_ike();
    taken(ask("127.0.0.1", "/ok", 0, 0), "hello");
}

// As where either end has no memory for the channel that is to come in its place.
static void test_room_that_no_ike_comes_back_to_ends(void **state)
{
    (void)state;
    ipc_close(ike);
    ike = NULL;
    time_t began = time(NULL);
    while (!loop_stopped(loop) && time(NULL) - began < 10)
        turn();
    assert_true(loop_stopped(loop)); // so that the supervisor makes it anew, with a channel
}

static int begin(void **state)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    pthread_t t;
    (void)state;
    for (size_t i = 0; i < BIG; i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&sa, sizeof(sa)) || listen(listener, 128) ||
        getsockname(listener, (struct sockaddr *)&sa, &len) || pthread_create(&t, NULL, serve, NULL))
        return -1;
    pthread_detach(t);
    port = ntohs(sa.sin_port);
    return 0;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_get_and_post_give_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_answer_comes_whole_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answer_that_is_none_is_refused_with_the_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answer_longer_than_asked_for_is_broken_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redirection_stays_with_http_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_url_of_another_kind_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_proxy_of_the_environment_is_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_this_machine_and_its_links_are_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_addresses_are_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_own_address_of_a_network_is_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_server_holds_up_no_other_and_ends_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_name_server_holds_up_no_other_and_no_turn_of_the_loop,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_host_takes_no_more_than_its_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_can_wait_are_refused_and_the_waiting_end_in_time,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_room_without_ike_drops_everything_and_serves_the_next_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_room_that_no_ike_comes_back_to_ends, setup, teardown),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
