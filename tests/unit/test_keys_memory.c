// SPDX-License-Identifier: Apache-2.0
// The keys room when memory runs out: at each allocation of a secret's load, of the keys of an IKE SA, its
// rekeying and a CHILD SA, the asker hears of it, nothing is half done, and everything works again when there
// is memory.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctrl/keys/secrets_file.h"
#include "ctrl/lib/log.h"
#include "tests/unit/keys_rig.h"
#include "tests/unit/no_memory.h"

enum { LIMIT = 500, WANTED = 5 };

static bool proves(uint32_t ike_id, const char *secret)
{
    struct ike_secrets s;
    assert_true(derive(ike_id, false, &s));
    return check_auth(ike_id, &s, true, "b.test", "a.test", secret);
}

static unsigned count_secrets(void)
{
    b->listed = 0;
    assert_true(say(b->ctl, MSG_SECRET_LIST, &(struct msg_SECRET_LIST){.req = ++req}));
    return b->listed;
}

static void test_secret_that_cannot_be_loaded_leaves_the_one_before(void **state)
{
    unsigned n = 0, refused = 0;
    bool failed = true;
    (void)state;
    while (failed && n++ < LIMIT) {
        setup(NULL);
        assert_true(load("x", "old", "a.test", "b.test"));
        no_memory_at(n);
        bool ok = load("x", "new", "a.test", "b.test");
        failed = no_memory_end();
        assert_true(ok || failed);
        assert_int_equal(b->type, MSG_RESULT); // it was answered
        if (!ok) {
            refused++;
            assert_non_null(strstr(b->text, "memory"));
        }
        assert_int_equal(count_secrets(), 1);
        assert_true(proves(1, ok ? "new" : "old"));
        assert_false(proves(2, ok ? "old" : "new"));
        if (!ok) {
            assert_true(load("x", "new", "a.test", "b.test"));
            assert_true(proves(3, "new"));
        }
        teardown(NULL);
    }
    assert_in_range(refused, WANTED - 2, LIMIT);
    print_message("a load met each of %u allocations failing, and was refused at %u\n", n - 1, refused);
}

// What the next one inherits is whole, or there is another one.
static void test_next_one_has_all_secrets_or_is_not_there(void **state)
{
    unsigned n = 0, refused = 0;
    bool failed = true;
    (void)state;
    while (failed && n++ < LIMIT) {
        int file = secrets_file_new();
        setup(NULL);
        assert_int_equal(keys_inherit(b->keys, dup(file)), 0);
        assert_true(load("x", "old", "a.test", "b.test") && load("y", "other", "c.test", NULL));
        struct keys *next = keys_new(b->loop);
        no_memory_at(n);
        int rc = keys_inherit(next, dup(file));
        failed = no_memory_end();
        assert_true(rc == 0 || (rc == -ENOMEM && failed));
        refused += rc < 0;
        keys_free(next);
        another_keys(file); // and nothing has gone in the file
        assert_int_equal(count_secrets(), 2);
        assert_true(proves(1, "old"));
        teardown(NULL);
        close(file);
    }
    assert_in_range(refused, WANTED, LIMIT);
    print_message("the next one met each of %u allocations failing, and was none at %u\n", n - 1, refused);
}

// One step of a peer's life; every one is answered, with a refusal where it could not be done.
static bool step(struct ipc_chan *c, enum msg_type t, const void *m)
{
    bool ok = say(c, t, m);
    assert_int_not_equal(b->type, MSG_NONE);
    assert_true(ok || b->text[0]);
    return ok;
}

static bool kex(uint32_t id, bool initiator, struct slice *peer, uint8_t secret[32])
{
    static uint8_t value[32];
    struct cr_dh *dh = NULL;
    size_t n;
    bool ok = cr_dh_new(NULL, 31, &dh) == 0 && cr_dh_public(dh, value, sizeof(value), &n) == 0;
    *peer = slice_of(value, 32);
    if (ok && initiator)
        ok = step(b->ike, MSG_KE_GENERATE, &(struct msg_KE_GENERATE){.req = ++req, .ke_id = id, .group = 31});
    else if (ok)
        ok = step(b->ike, MSG_KE_RESPOND,
                  &(struct msg_KE_RESPOND){.req = ++req, .ke_id = id, .group = 31, .peer_public = *peer});
    if (ok)
        ok = cr_dh_shared(NULL, dh, b->data, 32, secret, 32, &n) == 0;
    cr_dh_free(dh);
    if (!initiator)
        *peer = slice_of(NULL, 0);
    return ok;
}

static bool ike(uint32_t id, uint32_t old, bool initiator, uint8_t secret[32])
{
    struct slice peer;
    struct msg_IKE_DERIVE m = {.ike_id = id,
                               .ke_id = 5,
                               .encr = 20,
                               .encr_bits = 256,
                               .prf = 5,
                               .ni = slice_of(NI, 32),
                               .nr = slice_of(NR, 32),
                               .spi_i = 3,
                               .spi_r = 4,
                               .initiator = initiator,
                               .old_ike_id = old};
    if (!kex(5, initiator, &peer, secret))
        return false;
    m.req = ++req;
    m.peer_public = peer;
    return step(b->ike, MSG_IKE_DERIVE, &m);
}

static bool life(uint8_t nonce)
{
    const struct cr_sk_alg alg = {20, 256, 0};
    uint8_t secret[32], ni[32] = {nonce}, buf[4096];
    struct ike_secrets s;
    struct slice peer, known = slice_of(secret, 32);
    if (!ike(1, 0, true, secret) ||
        derive_ike(&alg, cr_prf_find(NULL, 5), &known, 1, slice_of(NI, 32), slice_of(NR, 32), 3, 4, NULL,
                   &s) != 0 ||
        !make_auth(1, "b.test", "a.test") || !check_auth(1, &s, false, "b.test", "a.test", "old") ||
        !ike(2, 1, false, secret) || !kex(6, false, &peer, secret))
        return false;
    struct writer w = writer_of(buf, sizeof(buf));
    struct msg_CHILD child = {.child_id = 1, .ike_id = 2, .encr = 20, .encr_bits = 256};
    msg_write(&w, MSG_CHILD, &child);
    struct msg_CHILD_DERIVE m = {.req = ++req,
                                 .ike_id = 2,
                                 .ke_id = 6,
                                 .ni = slice_of(ni, 32),
                                 .nr = slice_of(NR, 32),
                                 .child = wr_written(&w)};
    return step(b->ike, MSG_CHILD_DERIVE, &m);
}

static void test_keys_that_cannot_be_made_are_refused_and_made_later(void **state)
{
    unsigned n = 0, refused = 0;
    bool failed = true;
    (void)state;
    while (failed && n++ < LIMIT) {
        setup(NULL);
        assert_true(load("x", "old", "a.test", "b.test"));
        no_memory_at(n);
        bool ok = life(1);
        failed = no_memory_end();
        assert_true(ok || failed);
        refused += !ok;
        assert_int_equal(b->installs, ok);
        assert_true(life(2));
        teardown(NULL);
    }
    assert_in_range(refused, WANTED, LIMIT);
    print_message("a peer's life met each of %u allocations failing, and stopped at %u\n", n - 1, refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_one_has_all_secrets_or_is_not_there),
        cmocka_unit_test(test_secret_that_cannot_be_loaded_leaves_the_one_before),
        cmocka_unit_test(test_keys_that_cannot_be_made_are_refused_and_made_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
