// SPDX-License-Identifier: Apache-2.0
// Every reason with which a packet can leave the pipelines, in both directions, for packets of every size, at
// LANES 1, 2 and 4: each packet is made so that it has that reason and no other. What a packet looks like
// inside is sealed here, by OpenSSL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "sim/pipe_model.h"

#define SPI      0x10000u
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { LONGEST = 9216, BUFFER = 65536, IP = 20, ESP = 16, ICV = 16, TRAILER = 2, IPIP = 4, ESP_PROTO = 50 };

// inner lengths: with the tunnel's 52 octets and padding, a packet in each class that `make coverage` counts
static const unsigned SIZES[] = {24, 100, 600, 1600};
static const struct pipe_ops *const WIDTHS[] = {&pipe_ops_l1, &pipe_ops_l2, &pipe_ops_l4};
static const uint8_t KEY[16] = "sixteen octets..", SALT[4] = "salt";

static struct pipe_model *model;
static const struct pipe_ops *ops;
static uint8_t packet[BUFFER], out[8][BUFFER];

// ---- SAs

static struct espc_sa_blob blob_of(uint32_t slot, bool inbound)
{
    struct espc_sa_blob b = {.alg = ESPC_SA_ALG_AES128_GCM16,
                             .mode = ESPC_SA_MODE_TUNNEL,
                             .outer = ESPC_FAMILY_IPV4,
                             .inner = ESPC_FAMILY_IPV4,
                             .spi = SPI + slot,
                             .src = {192, 0, 2, 1},
                             .dst = {192, 0, 2, 2}};

    memcpy(b.key, KEY, sizeof(KEY));
    memcpy(b.salt, SALT, sizeof(SALT));
    if (inbound)
        b.window = 64;
    else
        b.ttl = 64, b.seq = 1, b.seq_limit = 1 << 24;
    return b;
}

static uint16_t command(enum espc_sa_op op, uint32_t slot, bool inbound, const struct espc_sa_blob *blob)
{
    struct espc_sa_command c = {.op = op, .dir = inbound, .generation = 1, .sa_index = slot};
    struct espc_sa_result result;
    uint16_t status = 0;

    if (ops->sa_command(model, &c, blob, &result, &status) != 0)
        fail_msg("LANES %u, command %d: %s", ops->lanes, op, ops->broken(model));
    return status;
}

static void add(uint32_t slot, bool inbound, const struct espc_sa_blob *blob)
{
    struct espc_sa_blob plain = blob_of(slot, inbound);

    assert_int_equal(command(ESPC_SA_OP_ADD, slot, inbound, blob ? blob : &plain), ESPC_STATUS_OK);
}

static void delete (uint32_t slot, bool inbound)
{
    assert_int_equal(command(ESPC_SA_OP_DELETE, slot, inbound, NULL), ESPC_STATUS_OK);
}

// ---- packets

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static void checksum(uint8_t *ip)
{
    uint32_t sum = 0;

    put16(ip + 10, 0);
    for (unsigned i = 0; i < IP; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
}

static void ip_header(uint8_t *ip, unsigned total, unsigned protocol)
{
    static const uint8_t ADDRESSES[8] = {192, 0, 2, 1, 192, 0, 2, 2};

    memset(ip, 0, IP);
    ip[0] = 0x45;
    put16(ip + 2, total);
    ip[8] = 64;
    ip[9] = (uint8_t)protocol;
    memcpy(ip + 12, ADDRESSES, 8);
    checksum(ip);
}

static void seal(uint8_t *esp, unsigned plain)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t nonce[12];
    int n;

    memcpy(nonce, SALT, 4);
    memcpy(nonce + 4, esp + 8, 8);
    assert_non_null(ctx);
    assert_true(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, KEY, nonce));
    assert_true(EVP_EncryptUpdate(ctx, NULL, &n, esp, 8));
    assert_true(EVP_EncryptUpdate(ctx, esp + ESP, &n, esp + ESP, (int)plain));
    assert_true(EVP_EncryptFinal_ex(ctx, esp + ESP + plain, &n));
    assert_true(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, ICV, esp + ESP + plain));
    EVP_CIPHER_CTX_free(ctx);
}

// what is put into an outer packet, and what is done to it before and after it is sealed
struct made {
    uint32_t seq, slot;
    unsigned next; // 0: IPv4
    bool bad_pad;  // the first octet of padding is 7
    unsigned outer_tos;
};

// An outer packet around `inner` octets of IPv4; its length.
static unsigned outer(const struct made *m, unsigned inner)
{
    unsigned pad = (4 - (inner + TRAILER) % 4) % 4 + 4, plain = inner + pad + TRAILER,
             total = IP + ESP + plain + ICV;
    uint8_t *esp = packet + IP;

    ip_header(packet, total, ESP_PROTO);
    packet[1] = (uint8_t)m->outer_tos;
    checksum(packet);
    put32(esp, SPI + m->slot);
    put32(esp + 4, m->seq);
    put32(esp + 8, 0);
    put32(esp + 12, m->seq);
    memset(esp + ESP, 0xa5, inner);
    ip_header(esp + ESP, inner, 17);
    for (unsigned i = 0; i < pad; i++)
        esp[ESP + inner + i] = (uint8_t)(i + 1);
    if (m->bad_pad)
        esp[ESP + inner] = 7;
    esp[ESP + inner + pad] = (uint8_t)pad;
    esp[ESP + inner + pad + 1] = (uint8_t)(m->next ? m->next : IPIP);
    seal(esp, plain);
    return total;
}

static void push(bool inbound, unsigned len, uint32_t slot, uint16_t generation, uint16_t tag)
{
    struct pipe_packet p = {.tag = tag,
                            .data = packet,
                            .len = len,
                            .sa = slot,
                            .generation = generation,
                            .out = out[tag % COUNT(out)]};

    ops->push(model, inbound, &p);
}

// One packet through a pipeline: what comes out has this status, and nothing but with OK has any octet.
static void expect(bool inbound, unsigned len, uint32_t slot, uint16_t generation, enum espc_status status)
{
    struct pipe_result r;

    push(inbound, len, slot, generation, 7);
    assert_int_equal(ops->pull(model, &r), 1);
    assert_int_equal(r.status, status);
    assert_int_equal(r.tag, 7);
    assert_true((r.len != 0) == (status == ESPC_STATUS_OK));
}

// ---- outbound

static void expect_out(unsigned len, uint32_t slot, enum espc_status status)
{
    expect(false, len, slot, 1, status);
}

static void inner(unsigned len)
{
    memset(packet, 0x5a, len);
    ip_header(packet, len, 17);
}

static void out_by_state(unsigned len)
{
    inner(len);
    add(0, false, NULL);
    expect_out(len, 0, ESPC_STATUS_OK);
    expect(false, len, 0, 2, ESPC_STATUS_SA_STALE_GEN);
    expect_out(len, 9, ESPC_STATUS_SA_INVALID);
    assert_int_equal(command(ESPC_SA_OP_DRAIN, 0, false, NULL), ESPC_STATUS_OK);
    expect_out(len, 0, ESPC_STATUS_SA_DRAINING);
    delete (0, false);
}

static void out_by_number(unsigned len)
{
    struct espc_sa_blob b = blob_of(1, false);

    b.seq_limit = 2;
    add(1, false, &b);
    expect_out(len, 1, ESPC_STATUS_OK);
    expect_out(len, 1, ESPC_STATUS_LEASE_END);
    delete (1, false);
    b.seq = 0xffffffff;
    b.seq_limit = 1ull << 33;
    add(1, false, &b);
    expect_out(len, 1, ESPC_STATUS_OK);
    expect_out(len, 1, ESPC_STATUS_SEQ_OVERFLOW);
    delete (1, false);
}

static void out_by_limit(unsigned len)
{
    struct espc_sa_blob b = blob_of(2, false);

    b.hard_packets = 1;
    add(2, false, &b);
    expect_out(len, 2, ESPC_STATUS_OK);
    expect_out(len, 2, ESPC_STATUS_HARD_LIMIT);
    delete (2, false);
    b.hard_packets = 0;
    b.deadline = 1000;
    ops->set_freerun(model, 10);
    add(2, false, &b);
    expect_out(len, 2, ESPC_STATUS_OK);
    ops->set_freerun(model, 1000);
    expect_out(len, 2, ESPC_STATUS_LEASE_EXPIRED);
    delete (2, false);
}

static void out_by_header(unsigned len)
{
    add(0, false, NULL);
    inner(len);
    put16(packet + 2, len + 1);
    expect_out(len, 0, ESPC_STATUS_TRUNCATED);
    inner(len);
    packet[0] = 0x55;
    expect_out(len, 0, ESPC_STATUS_BAD_IP);
    inner(LONGEST + 1);
    expect_out(LONGEST + 1, 0, ESPC_STATUS_TOO_LONG);
    delete (0, false);
}

// ---- inbound

static void expect_in(const struct made *m, unsigned len, enum espc_status status)
{
    expect(true, outer(m, len), 0, 0, status);
}

static void in_by_state(unsigned len)
{
    struct espc_sa_blob b = blob_of(2, true);

    add(1, true, NULL);
    expect_in(&(struct made){.slot = 1, .seq = 1}, len, ESPC_STATUS_OK);
    expect_in(&(struct made){.slot = 9, .seq = 1}, len, ESPC_STATUS_NO_SA);
    assert_int_equal(command(ESPC_SA_OP_DRAIN, 1, true, NULL), ESPC_STATUS_OK);
    expect_in(&(struct made){.slot = 1, .seq = 2}, len, ESPC_STATUS_SA_DRAINING);
    delete (1, true);
    b.dst[3] = 77;
    add(2, true, &b);
    expect_in(&(struct made){.slot = 2, .seq = 1}, len, ESPC_STATUS_SA_MISMATCH);
    delete (2, true);
    b = blob_of(2, true);
    b.hard_packets = 1;
    add(2, true, &b);
    expect_in(&(struct made){.slot = 2, .seq = 1}, len, ESPC_STATUS_OK);
    expect_in(&(struct made){.slot = 2, .seq = 2}, len, ESPC_STATUS_HARD_LIMIT);
    delete (2, true);
}

static void in_by_number(unsigned len)
{
    add(0, true, NULL);
    expect_in(&(struct made){.seq = 100}, len, ESPC_STATUS_OK);
    expect_in(&(struct made){.seq = 100}, len, ESPC_STATUS_REPLAY_SEEN);
    expect_in(&(struct made){.seq = 36}, len, ESPC_STATUS_REPLAY_OLD);
    expect_in(&(struct made){.seq = 37}, len, ESPC_STATUS_OK);
    delete (0, true);
}

static void in_by_inside(unsigned len)
{
    unsigned n;

    add(0, true, NULL);
    n = outer(&(struct made){.seq = 1}, len);
    packet[n - 1] ^= 1;
    expect(true, n, 0, 0, ESPC_STATUS_ICV_FAIL);
    expect_in(&(struct made){.seq = 2, .bad_pad = true}, len, ESPC_STATUS_BAD_PAD);
    expect_in(&(struct made){.seq = 3, .next = 6}, len, ESPC_STATUS_BAD_NEXT_HEADER);
    expect_in(&(struct made){.seq = 4, .outer_tos = 3}, len, ESPC_STATUS_ECN_CE);
    expect_in(&(struct made){.seq = 5, .next = 59}, len, ESPC_STATUS_DUMMY);
    delete (0, true);
}

static void in_by_header(unsigned len)
{
    unsigned n = outer(&(struct made){.seq = 1}, len);

    add(0, true, NULL);
    expect(true, n - 1, 0, 0, ESPC_STATUS_TRUNCATED);
    packet[6] = 0x20; // more fragments
    checksum(packet);
    expect(true, n, 0, 0, ESPC_STATUS_FRAGMENT);
    ip_header(packet, n, 6);
    expect(true, n, 0, 0, ESPC_STATUS_NOT_ESP);
    packet[10] ^= 1;
    expect(true, n, 0, 0, ESPC_STATUS_BAD_IP);
    ip_header(packet, LONGEST + 1, ESP_PROTO);
    expect(true, LONGEST + 1, 0, 0, ESPC_STATUS_TOO_LONG);
    delete (0, true);
}

// Packets that are inside when everything is wiped: each has been done or is ABORTED, and those behind find
// no SA.
static void aborted(bool inbound, unsigned len)
{
    const enum espc_status behind = inbound ? ESPC_STATUS_NO_SA : ESPC_STATUS_SA_INVALID;
    unsigned n = len, gone = 0;
    struct pipe_result r;

    add(0, inbound, NULL);
    inner(len);
    if (inbound)
        n = outer(&(struct made){.seq = 1}, len);
    for (uint16_t i = 0; i < COUNT(out); i++)
        push(inbound, n, 0, 1, i);
    assert_int_equal(command(ESPC_SA_OP_ZEROIZE_ALL, 0, inbound, NULL), ESPC_STATUS_OK);
    for (uint16_t i = 0; i < COUNT(out); i++) {
        assert_int_equal(ops->pull(model, &r), 1);
        assert_int_equal(r.tag, i);
        assert_true(r.status == ESPC_STATUS_OK || r.status == ESPC_STATUS_REPLAY_SEEN ||
                    r.status == ESPC_STATUS_ABORTED || r.status == behind);
        gone += r.status == ESPC_STATUS_ABORTED;
    }
    assert_true(gone != 0);
}

static void test_each_reason_is_given_at_each_size_and_width(void **state)
{
    static void (*const PARTS[])(unsigned len) = {out_by_state, out_by_number, out_by_limit, out_by_header,
                                                  in_by_state,  in_by_number,  in_by_inside, in_by_header};

    (void)state;
    for (unsigned w = 0; w < COUNT(WIDTHS); w++) {
        ops = WIDTHS[w];
        model = ops->create(NULL, 0, 0);
        assert_non_null(model);
        for (unsigned i = 0; i < COUNT(SIZES); i++) {
            for (unsigned p = 0; p < COUNT(PARTS); p++)
                PARTS[p](SIZES[i]);
            aborted(false, SIZES[i]);
            aborted(true, SIZES[i]);
        }
        ops->destroy(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_reason_is_given_at_each_size_and_width)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
