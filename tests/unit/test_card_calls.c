// SPDX-License-Identifier: Apache-2.0
// Every call that the driver makes of the system, and that can fail, is made to fail once: while a card is
// opened, looked at or reset, and in a life with SAs and packets. What cannot be done is refused with a
// reason, or the card has failed; either way nothing is left behind: no descriptor, no memory
// (LeakSanitizer), no bus mastering.
#include "card_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <openssl/rand.h>

#include "espalier/card_look.h"

enum { MOST = 5000 };

// Those of this thread alone: the card's, and the driver's own, go on.
static _Thread_local int left; // until one fails; 0: none will
static const char *which;

static bool fails(const char *what, int error)
{
    if (left <= 0 || --left)
        return false;
    which = what;
    errno = error;
    return true;
}

#define WRAP(type, failed, name, error, params, args)                                                        \
    type __real_##name params;                                                                               \
    type __wrap_##name params;                                                                               \
    type __wrap_##name params                                                                                \
    {                                                                                                        \
        return fails(#name, error) ? (type)(failed) : __real_##name args;                                    \
    }

WRAP(void *, NULL, malloc, ENOMEM, (size_t n), (n))
WRAP(void *, NULL, calloc, ENOMEM, (size_t n, size_t size), (n, size))
WRAP(int, -1, socket, EMFILE, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, -1, connect, ENOBUFS, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(ssize_t, -1, send, ENOBUFS, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
WRAP(ssize_t, -1, sendmsg, ENOBUFS, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, -1, recv, EINTR, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
WRAP(ssize_t, -1, read, EIO, (int fd, void *p, size_t n), (fd, p, n))
WRAP(ssize_t, -1, write, EIO, (int fd, const void *p, size_t n), (fd, p, n))
WRAP(int, -1, ftruncate, EIO, (int fd, off_t n), (fd, n))
WRAP(int, -1, epoll_create1, EMFILE, (int flags), (flags))
WRAP(int, -1, epoll_ctl, ENOSPC, (int epfd, int op, int fd, struct epoll_event *e), (epfd, op, fd, e))
WRAP(int, -1, poll, ENOMEM, (struct pollfd * fd, nfds_t n, int ms), (fd, n, ms))
WRAP(int, -1, eventfd, EMFILE, (unsigned value, int flags), (value, flags))
WRAP(int, -1, memfd_create, EMFILE, (const char *name, unsigned flags), (name, flags))
WRAP(void *, MAP_FAILED, mmap, ENOMEM, (void *at, size_t n, int prot, int flags, int fd, off_t from),
     (at, n, prot, flags, fd, from))
WRAP(int, -1, mlock, ENOMEM, (const void *at, size_t n), (at, n))
WRAP(int, -1, madvise, EAGAIN, (void *at, size_t n, int advice), (at, n, advice))
WRAP(int, -1, RAND_bytes, 0, (unsigned char *p, int n), (p, n))
WRAP(int, EAGAIN, pthread_create, EAGAIN,
     (pthread_t * t, const pthread_attr_t *a, void *(*run)(void *), void *arg), (t, a, run, arg))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    void *more = va_arg(ap, void *);
    va_end(ap);
    return fails("open", EMFILE) ? -1 : __real_open(path, flags, more);
}

int __real_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...)
{
    va_list ap;
    va_start(ap, cmd);
    void *more = va_arg(ap, void *);
    va_end(ap);
    return fails("fcntl", EMFILE) ? -1 : __real_fcntl(fd, cmd, more);
}

// ---- what is left behind

// Counted once, before the first call: the card's thread may take a connection only when it has been closed.
static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void nothing_is_left(struct fake_card *card, unsigned fds, int n)
{
    for (uint64_t end = now_ms() + PATIENCE_MS; fake_card_master(card) && now_ms() < end;)
        nap();
    assert_false(fake_card_master(card));
    // the card's own end of the stream, which its thread may be closing while they are counted
    unsigned now = descriptors();
    for (uint64_t end = now_ms() + PATIENCE_MS; now != fds && now_ms() < end; now = descriptors())
        nap();
    if (now != fds)
        fail_msg("call %d (%s): %u descriptors, %u before", n, which, now, fds);
}

// ---- opening

static bool open_with(struct fake_card *card, unsigned fds, int n)
{
    struct esp_card_options o = {.pci_sysfs = fake_card_sysfs(card), .ring_log2 = 5};
    struct esp_error err = {0};
    struct esp_engine *e = NULL;

    which = NULL;
    left = n;
    int rc = esp_card_open(&e, &o, &err);
    bool reached = left == 0;
    left = 0;
    if (rc) {
        assert_true(reached);
        assert_null(e);
        if (!err.text[0] || !err.field[0])
            fail_msg("call %d (%s): refused with %d and no reason", n, which, rc);
    } else {
        e->ops->destroy(e);
    }
    nothing_is_left(card, fds, n);
    return reached;
}

static void test_each_call_fails_while_a_card_is_opened(void **unused)
{
    struct fake_card *card = fake_card_start(&fake_default);
    unsigned fds = descriptors();
    int n = 1;

    (void)unused;
    while (n < MOST && open_with(card, fds, n))
        n++;
    print_message("  each of %d calls\n", n - 1);
    assert_in_range(n, 100, MOST - 1);
    fake_card_stop(card);
}

// ---- a look at it, and its reset, by who does not use it

static bool look_with(struct fake_card *card, unsigned fds, int n, bool reset)
{
    const char *sysfs = fake_card_sysfs(card);
    struct esp_card_facts f = {0};
    struct esp_error err = {0};

    which = NULL;
    left = n;
    int rc = reset ? esp_card_function_reset(sysfs, NULL, &err) : esp_card_look(&f, sysfs, NULL, &err);
    bool reached = left == 0;
    left = 0;
    if (rc && (!reached || !err.text[0] || !err.field[0]))
        fail_msg("call %d (%s): refused with %d and no reason", n, which ? which : "none", rc);
    if (!rc && !reset) // what could not be read, all ones, is not shown
        assert_true(f.queues == 2 && f.lanes == 0 && f.vectors == 4 && !f.fatal &&
                    !strstr(f.features, "vlan"));
    nothing_is_left(card, fds, n);
    return reached;
}

static void test_each_call_fails_in_a_look_and_a_reset(void **unused)
{
    struct fake_card *card = fake_card_start(&fake_default);
    unsigned fds = descriptors();
    int n[2] = {1, 1};

    (void)unused;
    for (int reset = 0; reset < 2; reset++)
        while (n[reset] < MOST && look_with(card, fds, n[reset], reset))
            n[reset]++;
    print_message("  each of %d and %d calls\n", n[0] - 1, n[1] - 1);
    assert_in_range(n[0], 50, MOST - 1);
    assert_in_range(n[1], 50, MOST - 1);
    fake_card_stop(card);
}

// ---- a life

// True: it has failed, which ends all.
static bool gone(struct fixture *f, struct esp_event *ev)
{
    f->e->ops->tick(f->e, now_ms());
    return f->e->ops->events(f->e, ev, 1) && ev->type == ESP_EVENT_FAILED;
}

// What it asks for is done, refused, or the card fails: nothing is waited for that never comes.
static bool await(struct fixture *f, enum esp_event_type want)
{
    struct esp_event ev;

    for (uint64_t end = now_ms() + PATIENCE_MS; now_ms() < end; nap()) {
        f->e->ops->tick(f->e, now_ms());
        if (!f->e->ops->events(f->e, &ev, 1))
            continue;
        if (ev.type == want)
            return true;
        if (ev.type == ESP_EVENT_FAILED)
            return false;
    }
    fail_msg("%s: event %d does not come", which ? which : "no call", (int)want);
    return false;
}

static bool run(struct fixture *f, struct esp_job *job)
{
    struct esp_event ev;
    struct esp_job *back;

    if (!esp_submit(f->e, &job, 1))
        return !gone(f, &ev);
    for (uint64_t end = now_ms() + PATIENCE_MS; now_ms() < end; nap()) {
        (void)esp_arm(f->e);
        if (esp_poll(f->e, &back, 1)) {
            assert_ptr_equal(back, job);
            assert_true(job->status == ESP_STATUS_OK || job->status == ESP_STATUS_ABORTED);
            return job->status == ESP_STATUS_OK;
        }
        (void)gone(f, &ev);
    }
    fail_msg("%s: a job does not come back", which ? which : "no call");
    return false;
}

static void live(struct fixture *f)
{
    struct esp_sa_params out = card_params(ESP_OUT, 7), in = card_params(ESP_IN, 7);
    struct esp_engine *e = f->e;
    struct esp_error err = {0};
    char text[4096];

    if (e->ops->sa_add(e, &out, NULL, &f->tx, &err) || !await(f, ESP_EVENT_SA_ADDED) ||
        e->ops->sa_add(e, &in, NULL, &f->rx, &err) || !await(f, ESP_EVENT_SA_ADDED))
        return;
    if (!run(f, encap_job(f, 0, 100)) || !run(f, decap_job(f, 1, 7, 1)))
        return;
    if (e->ops->sa_lease(e, f->tx, 5000) == 0 && !await(f, ESP_EVENT_SA_LEASED))
        return;
    if (e->ops->sa_query(e, f->rx) == 0 && !await(f, ESP_EVENT_SA_STATS))
        return;
    assert_true(e->ops->counters(e, text, sizeof(text)) > 0);
    if (e->ops->sa_delete(e, f->tx) == 0 && !await(f, ESP_EVENT_SA_DELETED))
        return;
    if (e->ops->sa_delete(e, f->rx) == 0)
        (void)await(f, ESP_EVENT_SA_DELETED);
}

static bool live_with(int n)
{
    unsigned before = descriptors();
    struct fixture *f;
    void *state;

    rig_setup(&state);
    f = state;
    which = NULL;
    left = n;
    live(f);
    f->e->ops->destroy(f->e);
    bool reached = left == 0;
    left = 0;
    for (uint64_t end = now_ms() + PATIENCE_MS; fake_card_master(f->card) && now_ms() < end;)
        nap();
    assert_false(fake_card_master(f->card));
    fake_card_stop(f->card);
    esp_pool_destroy(f->pool);
    free(f);
    if (descriptors() != before)
        fail_msg("call %d (%s): %u descriptors, %u before", n, which, descriptors(), before);
    return reached;
}

static void test_each_call_fails_in_a_life(void **unused)
{
    int n = 1;

    (void)unused;
    while (n < MOST && live_with(n))
        n++;
    print_message("  each of %d calls\n", n - 1);
    assert_in_range(n, 20, MOST - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails_while_a_card_is_opened),
        cmocka_unit_test(test_each_call_fails_in_a_look_and_a_reset),
        cmocka_unit_test(test_each_call_fails_in_a_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
