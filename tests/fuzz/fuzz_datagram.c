// SPDX-License-Identifier: Apache-2.0
// Outer messages: datagrams of anybody, to an end that waits for strangers (and at the last scene
// asks for cookies), to one that has asked and waits
// for an IKE_SA_INIT or an IKE_SESSION_RESUME response, to one that is half open, and to one with an IKE SA.
// The first octet says
// which; then come datagrams, each as
//   flags, length, octets
// with FIX_SPIS: the SPIs are those of the end's IKE SA, FIX_SPI_I: the first one is, FIX_LENGTH: the
// header's length is the datagram's.
#include "ctrl/ike/exchange.h"
#include "tests/fuzz/keyed.h"

enum scene { STRANGER, ASKED, HALF_OPEN, ESTABLISHED, COOKIES, RESUMING, SCENES };
enum { FIX_SPIS = 1, FIX_LENGTH = 2, NAT_T = 4, PASS_TIME = 8, TO_INITIATOR = 16, FIX_SPI_I = 32 };
enum { LENGTH_AT = 24, DATAGRAMS = 12 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static int lose_from(struct pair *p, unsigned number, struct datagram *d)
{
    const unsigned *from = p->ctx;
    (void)d;
    return number < *from;
}

static void fix(struct pair *p, int to, uint8_t flags, uint8_t *d, size_t len)
{
    const struct ike_sa *sa = p->s[to].ike->sas;
    struct writer w = writer_of(d, len);
    if (flags & (FIX_SPIS | FIX_SPI_I) && sa && len >= IKE_HEADER_LEN)
        wr_u64(&w, sa->spi_i);
    if (flags & FIX_SPIS && sa && len >= IKE_HEADER_LEN)
        wr_u64(&w, sa->spi_r);
    for (unsigned i = 0; flags & FIX_LENGTH && len >= IKE_HEADER_LEN && i < 4; i++)
        d[LENGTH_AT + i] = (uint8_t)(len >> (24 - 8 * i));
}

static void one(struct pair *p, struct reader *in)
{
    uint8_t flags = fuzz_u8(in);
    int to = flags & TO_INITIATOR ? 0 : 1;
    struct slice body = fuzz_bytes(in, fuzz_u16(in));
    uint8_t *d = malloc(body.len + 1); // exactly as large as it says, but for the empty one
    struct net_path path = {.local_port = 500, .remote_port = 500, .nat_t = flags & NAT_T};
    addr_parse(to ? "10.0.0.2" : "10.0.0.1", &path.local);
    addr_parse(to ? "10.0.0.1" : "10.0.0.2", &path.remote);
    if (body.len)
        memcpy(d, body.p, body.len);
    d = realloc(d, body.len ? body.len : 1);
    fix(p, to, flags, d, body.len);
    pair_inject(p, to, &path, d, body.len);
    free(d);
    if (flags & PASS_TIME)
        pair_wait(p, 1500);
}

static void always_cookies(struct settings *s)
{
    s->cookie_threshold = s->cookie_threshold_ip = 1;
}

static void loaded_to_resume(struct pair *p)
{
    for (int i = 0; i < 2; i++)
        p->s[i].ike->set.session_resumption = true;
}

// The client has given the other one up, and begins again by its ticket.
static void give_up(struct pair *p)
{
    static const unsigned none = 0;
    pair_initiate(p, 0, "c");
    p->ctx = (void *)(uintptr_t)&none;
    if (p->s[0].ike->sas)
        exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0);
    pair_wait(p, 200000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned lost_from[SCENES] = {0, 0, 2, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct reader in = reader_of(slice_of(data, size));
    uint8_t scene = fuzz_u8(&in) % SCENES;
    unsigned from = lost_from[scene];
    struct pair *p = scene == COOKIES ? pair_new(always_cookies) : pair_loaded(UNIQUE_REPLACE, NULL);
    if (scene == COOKIES)
        pair_simple(p);
    loaded_to_resume(p);
    p->filter = lose_from;
    p->ctx = &from;
    if (scene == RESUMING)
        give_up(p);
    if (scene != STRANGER && scene != COOKIES)
        pair_initiate(p, 0, "c");
    unsigned up = p->s[0].ike_up + p->s[1].ike_up;
    for (unsigned i = 0; i < DATAGRAMS && fuzz_more(&in); i++)
        one(p, &in);
    if (p->s[0].ike_up + p->s[1].ike_up != up)
        FUZZ_NEVER("an IKE SA was established although nobody had a key");
    if (scene == COOKIES)
        pair_initiate(p, 0, "c"); // asked for a cookie where a stranger's half-open IKE SA is there
    pair_free(p);
    return 0;
}
