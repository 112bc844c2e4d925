// SPDX-License-Identifier: Apache-2.0
// The hash table: it finds what is in it and nothing else, whatever order things came in, and its cost does
// not grow with its content.
#include <malloc.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <time.h>

#include "ctrl/lib/hash.h"
#include "tests/unit/no_memory.h"

struct item {
    struct hash_node node;
    uint32_t key;
    unsigned seen;
};

static uint64_t few_hashes(uint32_t key) // many keys to a hash
{
    return key % 97;
}

static struct item *find(const struct hash *t, uint64_t hash, uint32_t key)
{
    for (struct hash_node *n = hash_first(t, hash); n; n = hash_next(n)) {
        struct item *i = (struct item *)n;
        if (i->key == key)
            return i;
    }
    return NULL;
}

static void test_random_adds_and_deletes_agree_with_a_plain_array(void **state)
{
    enum { N = 5000 };
    static struct item items[N];
    bool in[N] = {false};
    struct hash t = {0};
    size_t count = 0;
    (void)state;
    srand(7);
    for (int step = 0; step < 60000; step++) {
        uint32_t k = (uint32_t)rand() % N;
        if (!in[k]) {
            items[k].key = k;
            assert_int_equal(hash_add(&t, &items[k].node, few_hashes(k)), 0);
        } else {
            hash_del(&t, &items[k].node);
        }
        in[k] = !in[k];
        count += in[k] ? 1 : (size_t)-1;
        uint32_t other = (uint32_t)rand() % N;
        assert_ptr_equal(find(&t, few_hashes(other), other), in[other] ? &items[other] : NULL);
        assert_int_equal(t.count, count);
    }
    for (struct hash_node *n = hash_each(&t, NULL); n; n = hash_each(&t, n))
        ((struct item *)n)->seen++;
    for (uint32_t k = 0; k < N; k++)
        assert_int_equal(items[k].seen, in[k]);
    while (hash_pop(&t))
        count--;
    assert_int_equal(count, 0);
    assert_null(hash_each(&t, NULL));
    hash_free(&t);
}

static void test_of_one_hash_the_newest_comes_first_also_after_growth(void **state)
{
    static struct item items[300];
    struct hash t = {0};
    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        items[i].key = i;
        assert_int_equal(hash_add(&t, &items[i].node, i < 3 ? 5 : 1000 + i), 0);
    }
    uint32_t expect = 3;
    for (struct hash_node *n = hash_first(&t, 5); n; n = hash_next(n))
        assert_int_equal(((struct item *)n)->key, --expect);
    assert_int_equal(expect, 0);
    hash_free(&t);
}

static void test_an_empty_table_finds_nothing_and_takes_a_strange_delete(void **state)
{
    struct hash t = {0};
    struct item i = {.key = 1};
    (void)state;
    assert_null(hash_first(&t, 1));
    hash_del(&t, &i.node);
    assert_null(hash_pop(&t));
    assert_int_equal(t.count, 0);
}

static bool in_group(const struct hash_group *g, const struct hash_one *n)
{
    for (unsigned i = 0; i < HASH_GROUP; i++)
        if (g->node[i] == n)
            return true;
    return false;
}

// Groups that a look-up passes, over all nodes that are there.
static double steps_per_look_up(const struct hash *t, struct item *items, uint32_t n)
{
    uint64_t steps = 0;
    for (uint32_t i = 0; i < n; i++)
        for (size_t at = hash_home(t, items[i].node.one.hash); !in_group(&t->groups[at], &items[i].node.one);
             at = hash_behind(t, at))
            steps++;
    return (double)steps / n;
}

// ... and one for what is not there.
static double steps_in_vain(const struct hash *t)
{
    enum { SOME = 10000 };
    uint64_t steps = 0;
    for (uint64_t i = 0; i < SOME; i++)
        for (size_t at = hash_home(t, hash_u64(~i)); t->groups[at].past; at = hash_behind(t, at))
            steps++;
    return (double)steps / SOME;
}

static void test_searches_stay_short_at_any_size(void **state)
{
    enum { MOST = 200000 };
    struct item *items = calloc(MOST, sizeof(*items));
    struct hash t = {0};
    double most = 0;
    (void)state;
    assert_non_null(items);
    for (uint32_t i = 0; i < MOST; i++) {
        items[i].key = i;
        assert_int_equal(hash_add(&t, &items[i].node, hash_u64(i * 4096u)), 0);
        if (i + 1 == 1000 || i + 1 == 3000 || i + 1 == MOST) {
            assert_true(steps_per_look_up(&t, items, i + 1) < 0.4);
            assert_true(steps_in_vain(&t) < 1.0);
        }
        size_t octets = malloc_usable_size(t.memory);
        most = i >= 100 && (double)octets / (i + 1) > most ? (double)octets / (i + 1) : most;
    }
    assert_true(most < 18.5); // octets an entry, when it has just grown
    assert_true(malloc_usable_size(t.memory) / MOST < 18);
    hash_free(&t);
    free(items);
}

// Who leaves one name for the same one again needs no memory, however full it is: there is a place.
static void test_node_of_a_hash_that_is_there_needs_no_memory(void **state)
{
    struct item items[HASH_GROUP + 1] = {0};
    struct hash t = {0};
    (void)state;
    for (unsigned i = 0; i < HASH_GROUP; i++)
        assert_int_equal(hash_add(&t, &items[i].node, hash_u64(i)), 0);
    assert_int_equal(t.size, 1); // full
    no_memory_from(1);
    int same = hash_add(&t, &items[HASH_GROUP].node, hash_u64(3));
    hash_del(&t, &items[HASH_GROUP].node);
    int again = hash_add(&t, &items[HASH_GROUP].node, hash_u64(3));
    hash_del(&t, &items[HASH_GROUP].node);
    int another = hash_add(&t, &items[HASH_GROUP].node, hash_u64(99));
    no_memory_end();
    assert_int_equal(same, 0);
    assert_int_equal(again, 0);
    assert_int_equal(another, -ENOMEM);
    hash_free(&t);
}

// Nodes of which no two have one hash are a third as long, and found, refused, taken out and emptied
// likewise.
static void test_the_only_one_of_its_hash_takes_eight_octets(void **state)
{
    enum { N = 3000 };
    static struct only {
        struct hash_one node;
        bool in;
    } items[N], other;
    struct hash t = {0};
    size_t count = 0;
    (void)state;
    assert_int_equal(sizeof(struct hash_one), 8);
    srand(8);
    for (int step = 0; step < 40000; step++) {
        uint32_t k = (uint32_t)rand() % N;
        struct only *i = &items[k];
        assert_ptr_equal(hash_only(&t, hash_u64(k)), i->in ? &i->node : NULL);
        if (i->in) {
            assert_int_equal(hash_put(&t, &other.node, hash_u64(k)), -EEXIST);
            hash_take(&t, &other.node); // it never came in
            hash_take(&t, &i->node);
            hash_take(&t, &i->node); // a second time: nothing
        } else {
            assert_int_equal(hash_put(&t, &i->node, hash_u64(k)), 0);
        }
        i->in = !i->in;
        count += i->in ? 1 : (size_t)-1;
        assert_int_equal(t.count, count);
        assert_int_equal(t.used, count);
    }
    for (struct hash_one *n; (n = hash_pop_one(&t)) != NULL; count--) {
        assert_true(((struct only *)n)->in);
        ((struct only *)n)->in = false;
    }
    assert_int_equal(count, 0);
    assert_null(hash_only(&t, hash_u64(0)));
    hash_free(&t);
}

// All clients of one connection stand under its name: whoever leaves is not looked for behind all that came
// after it. (Looked for one by one, these are 20,000,000,000 steps.)
static void test_many_of_one_hash_leave_at_once_the_oldest_first(void **state)
{
    enum { MOST = 200000, SECONDS = 10 };
    struct item *items = calloc(MOST, sizeof(*items));
    struct hash t = {0};
    (void)state;
    assert_non_null(items);
    for (uint32_t i = 0; i < MOST; i++)
        assert_int_equal(hash_add(&t, &items[i].node, 7), 0);
    clock_t from = clock();
    for (uint32_t i = 0; i + 1 < MOST; i++) {
        hash_del(&t, &items[i].node);
        hash_del(&t, &items[i].node); // a second time: nothing
        assert_true(clock() - from < SECONDS * CLOCKS_PER_SEC);
    }
    assert_int_equal(t.count, 1);
    assert_ptr_equal(hash_first(&t, 7), &items[MOST - 1].node);
    hash_del(&t, &items[MOST - 1].node);
    assert_null(hash_first(&t, 7));
    hash_free(&t);
    free(items);
}

// Emptying a large table takes a moment, not a quarter of an hour; what comes in meanwhile is found too.
static void test_popping_finds_all_in_one_pass(void **state)
{
    enum { MOST = 200000 };
    struct item *items = calloc(MOST + 1, sizeof(*items));
    struct hash t = {0};
    size_t n = 0;
    (void)state;
    assert_non_null(items);
    for (uint32_t i = 0; i < MOST; i++)
        assert_int_equal(hash_add(&t, &items[i].node, hash_u64(i)), 0);
    while (hash_pop(&t)) {
        if (++n == MOST / 2)
            assert_int_equal(hash_add(&t, &items[MOST].node, 0), 0);
    }
    assert_int_equal(n, MOST + 1);
    assert_int_equal(t.count + t.used, 0);
    hash_free(&t);
    free(items);
}

static void test_hash_of_octets_depends_on_each_of_them_on_length_and_on_the_seed(void **state)
{
    uint8_t buf[40] = {0};
    (void)state;
    for (size_t n = 0; n < sizeof(buf); n++) {
        uint64_t h = hash_bytes(1, buf, n);
        assert_true(h != hash_bytes(2, buf, n));
        assert_true(n == 0 || h != hash_bytes(1, buf, n - 1));
        for (size_t i = 0; i < n; i++) {
            buf[i] ^= 0x10;
            assert_true(h != hash_bytes(1, buf, n));
            buf[i] ^= 0x10;
        }
        assert_true(h == hash_bytes(1, buf, n));
    }
    assert_true(hash_str(3, "net") == hash_bytes(3, "net", 3));
}

// Against OpenSSL's.
static void test_mac_is_siphash_2_4_of_128_bits(void **state)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    uint8_t key[16], text[300], own[HASH_MAC_LEN], theirs[HASH_MAC_LEN];
    size_t size = sizeof(theirs), len;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_END};
    (void)state;
    assert_non_null(mac);
    for (unsigned n = 0; n <= sizeof(text); n++) {
        EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
        for (unsigned i = 0; i < sizeof(key); i++)
            key[i] = (uint8_t)(7 * n + i);
        for (unsigned i = 0; i < n; i++)
            text[i] = (uint8_t)(n ^ 3 * i);
        assert_int_equal(EVP_MAC_init(ctx, key, sizeof(key), params), 1);
        assert_int_equal(EVP_MAC_update(ctx, text, n), 1);
        assert_int_equal(EVP_MAC_final(ctx, theirs, &len, sizeof(theirs)), 1);
        assert_int_equal(len, HASH_MAC_LEN);
        hash_mac(key, text, n, own);
        assert_memory_equal(own, theirs, HASH_MAC_LEN);
        EVP_MAC_CTX_free(ctx);
    }
    EVP_MAC_free(mac);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_adds_and_deletes_agree_with_a_plain_array),
        cmocka_unit_test(test_of_one_hash_the_newest_comes_first_also_after_growth),
        cmocka_unit_test(test_an_empty_table_finds_nothing_and_takes_a_strange_delete),
        cmocka_unit_test(test_searches_stay_short_at_any_size),
        cmocka_unit_test(test_node_of_a_hash_that_is_there_needs_no_memory),
        cmocka_unit_test(test_the_only_one_of_its_hash_takes_eight_octets),
        cmocka_unit_test(test_many_of_one_hash_leave_at_once_the_oldest_first),
        cmocka_unit_test(test_popping_finds_all_in_one_pass),
        cmocka_unit_test(test_mac_is_siphash_2_4_of_128_bits),
        cmocka_unit_test(test_hash_of_octets_depends_on_each_of_them_on_length_and_on_the_seed),
    };
    return cmocka_run_group_tests_name("the hash table", tests, NULL, NULL);
}
