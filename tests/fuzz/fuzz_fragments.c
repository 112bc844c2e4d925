// SPDX-License-Identifier: Apache-2.0
// Fragments (RFC 7383), each sealed with the peer's keys: any number of any division, in any order, of
// requests and responses. The first octet: bit 0, the end is half open and waits for IKE_AUTH. Then
// fragments, each as
//   flags, number, of, first payload's type, exchange, length, octets
#include "tests/fuzz/keyed.h"

enum { RESPONSE = 1, NEXT_MID = 2, WHOLE = 4, PASS_TIME = 8, WIDE = 16, FRAGMENTS = 40 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static int lose_auth(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)d;
    return number < 2;
}

static void one(struct pair *p, struct reader *in)
{
    struct ike_sa *from = p->s[0].ike->sas, *to = p->s[1].ike->sas;
    uint8_t flags = fuzz_u8(in);
    unsigned shift = flags & WIDE ? 4 : 0; // more than an octet says
    struct keyed k = {.response = flags & RESPONSE};
    k.number = (uint16_t)(fuzz_u8(in) << shift);
    k.of = (uint16_t)(fuzz_u8(in) << shift);
    k.first = fuzz_u8(in);
    k.exchange = fuzz_u8(in);
    k.inner = fuzz_bytes(in, fuzz_u16(in));
    if (!from || !to || !from->sk_out)
        return;
    if (flags & WHOLE)
        k.of = 0;
    k.mid = (k.response ? to->out_mid : to->in_mid) + !!(flags & NEXT_MID);
    keyed_send(p, 0, from, &k);
    if (flags & PASS_TIME)
        pair_wait(p, 2000);
}

static void begin_rekeying(struct pair *p)
{
    struct msg_REKEY m = {.req = 77, .conn = "t"};
    if (p->s[1].ctl_ike)
        ipc_send(p->s[1].ctl_ike, MSG_REKEY, &m);
    pair_run(p);
}

static void in_fragments(struct conn_config *c, int side)
{
    (void)side;
    c->fragmentation = FRAGMENTATION_YES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(slice_of(data, size));
    uint8_t first = fuzz_u8(&in);
    struct pair *p = pair_loaded(UNIQUE_REPLACE, in_fragments);
    p->filter = first & 1 ? lose_auth : NULL;
    pair_initiate(p, 0, "c");
    p->filter = pair_lose_all;
    if (!(first & 1) && first & 2)
        begin_rekeying(p); // so that there is something to respond to
    for (unsigned i = 0; i < FRAGMENTS && fuzz_more(&in); i++)
        one(p, &in);
    pair_free(p);
    return 0;
}
