// SPDX-License-Identifier: Apache-2.0
// The inbound SPI table at its full size, 1,024 slots: random SPIs must find a place as long as slots are
// free. The bounds are those of rtl/esp/esp_rx_hash.v, where the places in a way are twice the slots.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <endian.h>

#include "sim/pipe_model.h"

enum { SLOTS = 1024, SETS = 20, REPLACED = 16384 };

static uint64_t seed = 0x5e11ab1e;
static uint32_t spis[SLOTS]; // 0: the slot is free
static unsigned adds, refused;

static uint32_t rnd(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

static uint16_t command(struct pipe_model *m, enum espc_sa_op op, uint32_t slot,
                        const struct espc_sa_blob *blob)
{
    struct espc_sa_command c = {
        .op = (uint8_t)op, .dir = 1, .generation = htole16(1), .sa_index = htole32(slot)};
    struct espc_sa_result result;
    uint16_t status = 0;

    assert_int_equal(pipe_ops_l1.sa_command(m, &c, blob, &result, &status), 0);
    return status;
}

static bool used(uint32_t spi)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (spis[i] == spi)
            return true;
    return false;
}

// Adds an SA with a random SPI into the slot; SPIs that are refused are counted, and another one is taken.
static void add(struct pipe_model *m, uint32_t slot)
{
    struct espc_sa_blob blob = {.alg = htole32(ESPC_SA_ALG_AES128_GCM16),
                                .mode = ESPC_SA_MODE_TUNNEL,
                                .outer = ESPC_FAMILY_IPV4,
                                .inner = ESPC_FAMILY_IPV4,
                                .dst = {192, 0, 2, 1},
                                .src = {192, 0, 2, 2},
                                .window = htole32(64)};
    uint16_t status;

    do {
        uint32_t spi;
        do
            spi = rnd();
        while (spi < 256 || used(spi));
        blob.spi = htole32(spi);
        status = command(m, ESPC_SA_OP_ADD, slot, &blob);
        adds++;
        refused += status == ESPC_STATUS_BUCKET_FULL;
        spis[slot] = spi;
    } while (status == ESPC_STATUS_BUCKET_FULL);
    assert_int_equal(status, ESPC_STATUS_OK);
}

static void fill(struct pipe_model *m)
{
    memset(spis, 0, sizeof(spis));
    for (uint32_t i = 0; i < SLOTS; i++)
        add(m, i);
}

static void test_20_sets_of_1024_random_spis_find_their_places(void **state)
{
    (void)state;
    adds = refused = 0;
    for (unsigned set = 0; set < SETS; set++) {
        struct pipe_model *m = pipe_ops_l1.create(NULL, 0, 0);
        assert_non_null(m);
        fill(m);
        pipe_ops_l1.destroy(m);
    }
    print_message("%u random SPIs in %u sets of %u: %u refused\n", adds, SETS, SLOTS, refused);
    assert_int_equal(refused, 0);
}

// A full card whose SAs are rekeyed one after another: places left behind are found again.
static void test_replaced_sas_of_a_full_card_find_their_places(void **state)
{
    struct pipe_model *m = pipe_ops_l1.create(NULL, 0, 0);

    (void)state;
    adds = refused = 0;
    assert_non_null(m);
    fill(m);
    for (unsigned i = 0; i < REPLACED; i++) {
        uint32_t slot = rnd() % SLOTS;
        assert_int_equal(command(m, ESPC_SA_OP_DELETE, slot, NULL), ESPC_STATUS_OK);
        spis[slot] = 0;
        add(m, slot);
    }
    pipe_ops_l1.destroy(m);
    print_message("%u random SPIs, of which %u replaced others: %u refused\n", adds, REPLACED, refused);
    assert_true(refused <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_20_sets_of_1024_random_spis_find_their_places),
        cmocka_unit_test(test_replaced_sas_of_a_full_card_find_their_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
