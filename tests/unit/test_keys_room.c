// SPDX-License-Identifier: Apache-2.0
// The keys room asked directly, as a broken-in ike would: nothing is proved, derived or installed out of
// order, one guess at AUTH per IKE SA, and the secret with the best owners is the one used.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/keys/psk.h"
#include "ctrl/keys/room.h"
#include "ctrl/keys/vault.h"
#include "tests/unit/keys_rig.h"

static void test_initiator_gets_child_keys_only_after_both_proofs(void **state)
{
    struct ike_secrets s;
    uint8_t mat[72];
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_false(install(1, 1));
    assert_true(derive(1, true, &s));
    assert_false(install(1, 1));
    assert_true(make_auth(1, "a.test", "b.test"));
    assert_false(install(1, 1));
    assert_true(check_auth(1, &s, false, "a.test", "b.test", "secret"));
    assert_false(install(1, 2)); // a description of another SA
    assert_int_equal(b->installs, 0);
    assert_true(install(1, 1));
    assert_int_equal(b->installs, 1);
    derive_child(&s, NULL, 0, slice_of(NI, 32), slice_of(NR, 32), mat, 72);
    assert_memory_equal(b->key_out, mat, 36);
    assert_memory_equal(b->key_in, mat + 36, 36);
}

static void test_responder_proves_itself_only_to_a_verified_peer(void **state)
{
    struct ike_secrets s;
    (void)state; // CVE-2015-4171
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s));
    assert_false(make_auth(1, "b.test", "a.test"));
    assert_false(install(1, 1));
    assert_true(check_auth(1, &s, true, "b.test", "a.test", "secret"));
    assert_false(install(1, 1));
    assert_true(make_auth(1, "b.test", "a.test"));
    assert_true(install(1, 1));
}

static void test_the_same_nonces_never_make_keys_twice(void **state)
{
    struct ike_secrets s;
    uint8_t both[64];
    (void)state; // invariant 1: whoever drives ike could otherwise run one key's sequence numbers twice
    memcpy(both, NI, 32);
    memcpy(both + 32, NR, 32);
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, true, &s));
    assert_true(make_auth(1, "a.test", "b.test"));
    assert_true(check_auth(1, &s, false, "a.test", "b.test", "secret"));
    assert_true(install(1, 1));
    assert_false(install(1, 1));
    assert_non_null(strstr(b->text, "nonces"));
    assert_false(
        install_with(1, 1, slice_of(NI, 32), slice_of(NR, 32), 128)); // the same octets, cut elsewhere
    assert_false(install_with(1, 1, slice_of(both, 40), slice_of(both + 40, 24), 256));
    assert_int_equal(b->installs, 1);
    assert_true(install_with(1, 1, slice_of(NR, 32), slice_of(NI, 32), 256)); // other keys
    assert_int_equal(b->installs, 2);
}

// The next ike counts its questions from the beginning: it would take the answer for that to one of its own.
static void test_what_path_installs_for_an_ike_that_died_is_answered_to_nobody(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, true, &s));
    assert_true(make_auth(1, "a.test", "b.test"));
    assert_true(check_auth(1, &s, false, "a.test", "b.test", "secret"));
    b->slow = true;
    assert_false(install(1, 1));
    assert_int_equal(b->type, MSG_NONE);
    assert_int_equal(b->installs, 1);
    assert_int_equal(b->deaths, 0);
    another_ike();
    assert_int_equal(b->deaths, 1); // behind it, so that path knows it for one of the last ike's
    ipc_result(b->path, b->slow_req, true, "%s", "");
    for (int i = 0; i < 6; i++)
        loop_once(b->loop, 0);
    assert_int_equal(b->type, MSG_NONE);
    assert_null(keys_find_ike(b->keys, 1));
}

// An IKE SA that stays keeps SK_d, and nothing that only a proof takes: no other one can be asked for.
static void test_what_an_ike_sa_keeps_is_small_and_as_good(void **state)
{
    struct ike_secrets s;
    uint8_t mat[72], other[32];
    (void)state;
    memset(other, 77, sizeof(other));
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, true, &s));
    assert_true(make_auth(1, "a.test", "b.test"));
    assert_true(check_auth(1, &s, false, "a.test", "b.test", "secret"));
    const struct ike_entry *e = keys_find_ike(b->keys, 1);
    assert_true(e->settled); // with no CHILD SA (RFC 6023)
    assert_true(sizeof(*e) <= 72);
    assert_true(install(1, 1));
    assert_null(e->rare);
    assert_memory_equal(e->s->sk_d, s.sk_d, s.prf_len);
    assert_true(install_with(1, 1, slice_of(other, 32), slice_of(NR, 32), 256));
    derive_child(&s, NULL, 0, slice_of(other, 32), slice_of(NR, 32), mat, sizeof(mat));
    assert_memory_equal(b->key_out, mat, 36);
    ipc_send(b->ike, MSG_AUTH_ROUND, &(struct msg_AUTH_ROUND){.ike_id = 1, .own = 1, .peer = 1});
    struct msg_IKE_UPDATE m = {.req = ++req, .ike_id = 1, .encr = 20, .encr_bits = 256};
    assert_false(say(b->ike, MSG_IKE_UPDATE, &m));
    assert_true(e->made && e->checked && e->settled);
}

static void test_cells_of_secrets_are_as_large_as_asked_and_wiped(void **state)
{
    static const size_t sizes[] = {1, 47, 48, 49, 79, 80, 81, 255, 256, 257, 591, 592, 593, 1023, 1024};
    static const uint8_t zero[VAULT_CELL];
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), EACH = 150 };
    static uint8_t *cell[SIZES][EACH];
    struct vault *v = vault_new();
    (void)state;
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < SIZES; i++)
            for (unsigned n = 0; n < EACH; n++) {
                cell[i][n] = vault_get(v, sizes[i]);
                assert_non_null(cell[i][n]);
                assert_int_equal((uintptr_t)cell[i][n] % 16, 0);
                assert_memory_equal(cell[i][n], zero, sizes[i]);
                memset(cell[i][n], (int)(i * 31 + n + 1), sizes[i]);
            }
        for (unsigned i = 0; i < SIZES; i++)
            for (unsigned n = 0; n < EACH; n++) {
                for (size_t at = 0; at < sizes[i]; at++)
                    assert_int_equal(cell[i][n][at], (uint8_t)(i * 31 + n + 1));
                vault_put(cell[i][n]);
            }
    }
    assert_null(vault_get(v, VAULT_CELL + 1));
    vault_put(NULL);
    vault_free(v);
}

static void test_vaults_of_two_rooms_have_nothing_of_each_other(void **state)
{
    struct vault *v = vault_new(), *other = vault_new();
    (void)state;
    void *cell = vault_get(v, 48);
    vault_put(cell);
    assert_ptr_not_equal(vault_get(other, 48), cell);
    assert_ptr_equal(vault_get(v, 48), cell);
    vault_free(other);
    memset(cell, 1, 48); // is still there
    vault_free(v);
}

static void test_auth_is_made_once_for_an_ike_sa(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, true, &s));
    assert_true(make_auth(1, "a.test", "b.test"));
    assert_false(make_auth(1, "c.test", "b.test"));
    assert_true(check_auth(1, &s, false, "a.test", "b.test", "secret"));
    assert_true(install(1, 1));
}

static void test_one_wrong_proof_ends_the_ike_sa(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s));
    assert_false(check_auth(1, &s, true, "b.test", "a.test", "guess"));
    assert_non_null(strstr(b->text, "MAC mismatched"));
    assert_false(check_auth(1, &s, true, "b.test", "a.test", "secret"));
    assert_false(make_auth(1, "b.test", "a.test"));
}

static void test_key_exchange_value_is_used_once(void **state)
{
    struct ike_secrets s;
    uint8_t zero[32] = {0};
    (void)state;
    assert_true(derive(1, true, &s));
    struct msg_IKE_DERIVE m = {.req = ++req,
                               .ike_id = 2,
                               .ke_id = 5,
                               .peer_public = slice_of(NI, 32),
                               .encr = 20,
                               .encr_bits = 256,
                               .prf = 5,
                               .ni = slice_of(NI, 32),
                               .nr = slice_of(NR, 32)};
    assert_false(say(b->ike, MSG_IKE_DERIVE, &m));
    assert_true(
        say(b->ike, MSG_KE_GENERATE, &(struct msg_KE_GENERATE){.req = ++req, .ke_id = 5, .group = 31}));
    m.peer_public = slice_of(zero, 32); // a value of small order
    assert_false(say(b->ike, MSG_IKE_DERIVE, &m));
    assert_false(
        say(b->ike, MSG_KE_GENERATE, &(struct msg_KE_GENERATE){.req = ++req, .ke_id = 5, .group = 1025}));
    m.ke_id = 0;
    assert_false(say(b->ike, MSG_IKE_DERIVE, &m));
    m.old_ike_id = 1; // rekeying what was never authenticated
    assert_false(say(b->ike, MSG_IKE_DERIVE, &m));
}

static void test_answer_says_whose_secret_was_proven(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load("everyone", "common", NULL, NULL));
    assert_true(load("branches", "branch secret", "*.branch.test", NULL));
    assert_true(load("hub", "other", "hub.test", "x.test"));
    assert_true(derive(1, false, &s));
    assert_true(check_auth(1, &s, true, "hub.test", "a.branch.test", "branch secret"));
    assert_int_equal(b->type, MSG_AUTH_PROVEN);
    assert_string_equal(b->secret, "branches");
    assert_string_equal(b->owner, "*.branch.test");
    assert_true(derive(2, false, &s));
    assert_true(check_auth(2, &s, true, "hub.test", "stranger.test", "common"));
    assert_string_equal(b->secret, "everyone");
    assert_string_equal(b->owner, "");
}

// Of several that serve, ours is made with the one that the peer has shown to know, though another ranks
// before it.
static void test_own_proof_is_made_with_the_secret_that_was_proven(void **state)
{
    struct ike_secrets s;
    uint8_t body[100], want[64];
    (void)state;
    assert_true(load("pair", "new secret", "a.test", "b.test"));
    assert_true(load("peer", "old secret", "b.test", NULL));
    assert_true(load("everyone", "common", NULL, NULL));
    assert_true(derive(1, false, &s));
    assert_true(check_auth(1, &s, true, "a.test", "b.test", "common"));
    assert_string_equal(b->secret, "everyone");
    assert_true(make_auth(1, "a.test", "b.test"));
    derive_psk_auth(&s, false, slice_str("common"), slice_str("mine"), slice_of(NR, 32),
                    id_body("a.test", body), want);
    assert_memory_equal(b->data, want, 32);
}

static void test_secret_that_took_the_name_of_the_proven_one_is_another(void **state)
{
    struct ike_secrets s;
    (void)state;
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(load("y", "second", NULL, NULL));
    assert_true(derive(1, false, &s));
    assert_true(check_auth(1, &s, true, "b.test", "a.test", "secret"));
    assert_true(load("x", "changed", NULL, NULL));
    assert_false(make_auth(1, "b.test", "a.test")); // neither with "changed" nor with "second"
    assert_non_null(strstr(b->text, "serves no more"));
}

static void test_secret_that_is_gone_is_a_refusal_not_a_crash(void **state)
{
    struct ike_secrets s;
    (void)state; // CVE-2024-2357
    assert_true(load("x", "secret", NULL, NULL));
    assert_true(derive(1, false, &s));
    assert_true(check_auth(1, &s, true, "b.test", "a.test", "secret"));
    assert_true(say(b->ctl, MSG_SECRET_UNLOAD, &(struct msg_SECRET_UNLOAD){.req = ++req, .id = "x"}));
    assert_false(say(b->ctl, MSG_SECRET_UNLOAD, &(struct msg_SECRET_UNLOAD){.req = ++req, .id = "x"}));
    assert_false(make_auth(1, "b.test", "a.test"));
    assert_non_null(strstr(b->text, "no shared key found"));
}

static void expect_secret(struct psk_store *s, const char *me, const char *peer, const char *want)
{
    struct identity a, c;
    struct psk_match found[PSK_TRIES];
    assert_true(identity_parse(me, &a) && identity_parse(peer, &c));
    unsigned n = psk_find(s, &a, &c, found);
    if (!want)
        assert_int_equal(n, 0);
    else if (!n || !slice_eq(found[0].data, slice_str(want)))
        fail_msg("%s - %s: expected '%s', got '%.*s'", me, peer, want, n ? (int)found[0].data.len : 0,
                 n ? (const char *)found[0].data.p : "");
}

static void add(struct psk_store *s, const char *secret, const char *o1, const char *o2)
{
    uint8_t owners[200];
    struct writer w = writer_of(owners, sizeof(owners));
    struct esp_error err = {0};
    if (o1)
        wr_cstr(&w, o1);
    if (o2)
        wr_cstr(&w, o2);
    assert_int_equal(psk_load(s, secret, "IKE", slice_str(secret), wr_written(&w), &err), 0);
}

static struct vault *cells; // of the stores below

static int open_vault(void **state)
{
    (void)state;
    cells = vault_new();
    return cells ? 0 : -1;
}

static int close_vault(void **state)
{
    (void)state;
    vault_free(cells);
    return 0;
}

static void test_best_owner_match_wins(void **state)
{
    struct psk_store *s = psk_store_new(cells);
    (void)state;
    add(s, "others", "a.test", "x.test");
    expect_secret(s, "a.test", "b.test", NULL); // names both its ends, and this peer is neither
    add(s, "all", NULL, NULL);
    expect_secret(s, "a.test", "b.test", "all");
    add(s, "domain", "*.test", NULL);
    expect_secret(s, "a.test", "b.test", "domain");
    add(s, "peer", "b.test", NULL);
    add(s, "pair", "a.test", "b.test");
    expect_secret(s, "a.test", "b.test", "pair");
    expect_secret(s, "a.test", "x.test", "others");
    expect_secret(s, "10.0.0.1", "10.0.0.2", "all");
    psk_unload(s, "pair");
    expect_secret(s, "c.example", "b.test", "peer");
    psk_store_free(s);
}

static void test_secret_of_an_address_proves_no_other_identity(void **state)
{
    struct psk_store *s = psk_store_new(cells);
    (void)state;
    add(s, "by address", "10.0.0.1", "10.0.0.2");
    expect_secret(s, "10.0.0.1", "10.0.0.2", "by address");
    expect_secret(s, "a.test", "b.test", NULL); // whatever address it comes from
    psk_store_free(s);
}

static void test_many_secrets_keep_the_best_in_order(void **state)
{
    struct psk_store *s = psk_store_new(cells);
    (void)state;
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%d", i);
        add(s, name, i == 30 ? "a.test" : NULL, i == 30 ? "b.test" : NULL);
    }
    expect_secret(s, "a.test", "b.test", "s30");
    expect_secret(s, "c", "d", "s0");
    psk_store_free(s);
}

static void test_unsupported_secrets_are_refused_by_name(void **state)
{
    struct msg_SECRET_LOAD m = {.req = ++req, .id = "e", .type = "xauth", .data = slice_str("x")};
    uint8_t big[PSK_MAX + 1] = {1};
    (void)state;
    assert_false(say(b->ctl, MSG_SECRET_LOAD, &m));
    assert_non_null(strstr(b->text, "'xauth' is not supported"));
    snprintf(m.type, sizeof(m.type), "ike");
    m.data = slice_of(big, sizeof(big));
    assert_false(say(b->ctl, MSG_SECRET_LOAD, &m));
    m.data = slice_of(big, 0);
    assert_false(say(b->ctl, MSG_SECRET_LOAD, &m));
    m.data = slice_of(big, PSK_MAX);
    assert_true(say(b->ctl, MSG_SECRET_LOAD, &m));
}

// ---- the store against a walk over all of it

static const char *const some_ids[] = {"a.test",     "A.Test", "b.test",   "*.test",     "x@a.test",
                                       "*@a.test",   "%any",   "10.0.0.1", "C=CH, CN=a", "C=CH, CN=*",
                                       "C=CH, CN=b", "c.test", "@#0a0b0c", "10.0.0.2",   "other"};
enum { SOME_IDS = sizeof(some_ids) / sizeof(some_ids[0]), STORED = 40 };

struct stored { // in the order of loading
    char name[8];
    bool ppk;
    unsigned owners, owner[3];
};
static struct stored stored[STORED + 1];
static unsigned stored_count;
static uint64_t dice;

static unsigned roll(unsigned n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % n;
}

static void forget_stored(const char *name)
{
    for (unsigned i = 0; i < stored_count; i++)
        if (strcmp(stored[i].name, name) == 0) {
            memmove(&stored[i], &stored[i + 1], (stored_count - i - 1) * sizeof(stored[0]));
            stored_count--;
            return;
        }
}

static void store_one(struct psk_store *s)
{
    uint8_t buf[300];
    struct writer w = writer_of(buf, sizeof(buf));
    struct esp_error err = {0};
    struct stored e = {.ppk = roll(4) == 0};
    snprintf(e.name, sizeof(e.name), "s%u", roll(STORED));
    e.owners = e.ppk ? 1 + roll(3) : roll(4);
    for (unsigned i = 0; i < e.owners; i++)
        wr_cstr(&w, some_ids[e.owner[i] = roll(SOME_IDS)]);
    forget_stored(e.name);
    assert_int_equal(psk_load(s, e.name, e.ppk ? "ppk" : "ike", slice_str(e.name), wr_written(&w), &err), 0);
    stored[stored_count++] = e;
}

static int best_of(const struct stored *e, const struct identity *id)
{
    int found = MATCH_NONE;
    for (unsigned i = 0; i < e->owners; i++) {
        struct identity o;
        assert_true(identity_parse(some_ids[e->owner[i]], &o));
        int m = identity_match(id, &o);
        found = m > found ? m : found;
    }
    return e->owners ? found : MATCH_ANY;
}

static void expect_as_by_walk(const struct psk_store *s, const struct identity *me,
                              const struct identity *peer)
{
    struct psk_match found[PSK_TRIES];
    bool taken[STORED + 1] = {false};
    unsigned n = psk_find(s, me, peer, found);
    for (unsigned k = 0;; k++) {
        int top = -1, at = -1;
        for (unsigned i = 0; i < stored_count; i++) {
            int mine = best_of(&stored[i], me), theirs = best_of(&stored[i], peer),
                score = (mine + theirs) * 100 + mine;
            if (!taken[i] && !stored[i].ppk && (theirs || (mine && stored[i].owners == 1)) && score > top) {
                top = score;
                at = (int)i;
            }
        }
        if (k == PSK_TRIES || at < 0) {
            assert_int_equal(n, k);
            return;
        }
        assert_true(k < n);
        assert_string_equal(found[k].name, stored[at].name);
        taken[at] = true;
    }
}

static void expect_named_as_by_walk(const struct psk_store *s, const struct identity *id)
{
    struct slice out;
    const char *name = NULL, *want = NULL;
    for (unsigned i = 0; i < stored_count; i++)
        for (unsigned k = 0; k < stored[i].owners && stored[i].ppk; k++) {
            struct identity o;
            assert_true(identity_parse(some_ids[stored[i].owner[k]], &o));
            if (slice_eq(slice_of(o.data, o.len), slice_of(id->data, id->len)) && o.len)
                want = stored[i].name;
        }
    bool got = psk_find_named(s, SECRET_PPK, slice_of(id->data, id->len), &out, &name);
    assert_int_equal(got, want != NULL);
    if (want)
        assert_string_equal(name, want);
}

static void test_secrets_are_found_as_by_a_walk_over_all(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++) {
        struct psk_store *s = psk_store_new(cells);
        stored_count = 0;
        dice = seed;
        for (unsigned step = 0; step < 120; step++) {
            char name[8];
            snprintf(name, sizeof(name), "s%u", roll(STORED));
            if (roll(4) == 0) {
                psk_unload(s, name);
                forget_stored(name);
            } else {
                store_one(s);
            }
            struct identity me, peer;
            assert_true(identity_parse(some_ids[roll(SOME_IDS)], &me));
            assert_true(identity_parse(some_ids[roll(SOME_IDS)], &peer));
            expect_as_by_walk(s, &me, &peer);
            expect_named_as_by_walk(s, &peer);
        }
        psk_store_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_initiator_gets_child_keys_only_after_both_proofs, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_responder_proves_itself_only_to_a_verified_peer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_same_nonces_never_make_keys_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_path_installs_for_an_ike_that_died_is_answered_to_nobody,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_an_ike_sa_keeps_is_small_and_as_good, setup, teardown),
        cmocka_unit_test(test_cells_of_secrets_are_as_large_as_asked_and_wiped),
        cmocka_unit_test(test_vaults_of_two_rooms_have_nothing_of_each_other),
        cmocka_unit_test_setup_teardown(test_auth_is_made_once_for_an_ike_sa, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_wrong_proof_ends_the_ike_sa, setup, teardown),
        cmocka_unit_test_setup_teardown(test_key_exchange_value_is_used_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answer_says_whose_secret_was_proven, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_proof_is_made_with_the_secret_that_was_proven, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_secret_that_took_the_name_of_the_proven_one_is_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_secret_that_is_gone_is_a_refusal_not_a_crash, setup, teardown),
        cmocka_unit_test(test_best_owner_match_wins),
        cmocka_unit_test(test_secrets_are_found_as_by_a_walk_over_all),
        cmocka_unit_test(test_secret_of_an_address_proves_no_other_identity),
        cmocka_unit_test(test_many_secrets_keep_the_best_in_order),
        cmocka_unit_test_setup_teardown(test_unsupported_secrets_are_refused_by_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, open_vault, close_vault);
}
