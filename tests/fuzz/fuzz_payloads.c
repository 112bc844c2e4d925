// SPDX-License-Identifier: Apache-2.0
// Payloads behind decryption: in IKE_AUTH of either role, with a preshared key or with certificates, in
// requests to an established IKE SA, and in the responses to everything that an IKE SA asks for itself. The
// fuzzer's first octet says which, the rest is a row of messages as keyed.h describes them. With MORE_KE
// there is an additional key exchange (RFC 9370).
#include "tests/fuzz/ends.h"
#include "tests/fuzz/keyed.h"

enum scene { AUTH_REQUEST, AUTH_RESPONSE, REQUESTS, RESPONSES, CERT_REQUEST, CERT_RESPONSE, SCENES };
enum { LATER = 0x80, MORE_KE = 0x40, MESSAGES = 6, ROOM = 60000 };

struct fuzzed {
    struct reader in;
    uint8_t exchange; // of the message that is replaced
    bool response, genuine_proof;
    int from;
    unsigned left;
};

static struct ike_sa *only(struct pair *p, int side)
{
    return p->s[side].ike->sas;
}

// The one that a message is of: while an IKE SA is rekeyed there are two.
static struct ike_sa *named(struct pair *p, int side, uint64_t spi_i)
{
    struct ike_sa *sa = only(p, side);
    while (sa && sa->spi_i != spi_i)
        sa = sa->next;
    return sa;
}

static uint32_t child_spi(struct ike_sa *sa)
{
    return sa && sa->children ? sa->children->spi_in : 0;
}

static bool has_proof(const struct payloads *genuine, const struct pb *b)
{
    const struct payload *auth = payload_find(genuine, PL_AUTH);
    for (size_t i = 0; auth && auth->body.len && i + auth->body.len <= b->w.len; i++)
        if (memcmp(b->w.p + i, auth->body.p, auth->body.len) == 0)
            return true;
    return false;
}

// Takes the genuine message's place, once; what it stood for is lost.
static int replace(struct pair *p, unsigned number, struct datagram *d)
{
    static uint8_t plain[ROOM], opened[MAX_MESSAGE];
    struct fuzzed *f = p->ctx;
    struct ike_header h;
    struct payloads genuine;
    (void)number;
    if (!f->left || d->to == f->from || !header_read(slice_of(d->data, d->len), &h) ||
        h.exchange == EX_SA_INIT || !(h.flags & FLAG_RESPONSE) != !f->response)
        return 1;
    struct ike_sa *from = named(p, f->from, h.spi_i), *to = named(p, 1 - f->from, h.spi_i);
    if (!from || !to || !from->sk_out)
        return 1;
    // a responder derives its keys when IKE_AUTH comes; what its peer sends is told from the peer's own side
    if (!keyed_open_own(from, slice_of(d->data, d->len), opened, &genuine))
        return 1;
    f->left--;
    struct pb b = pb_of(plain, sizeof(plain));
    uint8_t exchange = fuzz_u8(&f->in);
    keyed_compose(&f->in, &genuine, child_spi(from), &b);
    f->genuine_proof = has_proof(&genuine, &b);
    struct keyed k = {exchange ? exchange : h.exchange, f->response, h.mid, b.first, 0, 0, wr_written(&b.w)};
    if (!b.w.bad)
        keyed_send(p, f->from, from, &k);
    return 0;
}

static void request(struct pair *p, struct fuzzed *f)
{
    static uint8_t plain[ROOM];
    struct ike_sa *from = only(p, 0), *to = only(p, 1);
    struct pb b = pb_of(plain, sizeof(plain));
    uint8_t exchange = fuzz_u8(&f->in);
    if (!from || !to || !from->sk_out || !to->sk_in)
        return;
    keyed_compose(&f->in, NULL, child_spi(from), &b);
    struct keyed k = {
        exchange ? exchange : EX_CREATE_CHILD, false, to->in_mid, b.first, 0, 0, wr_written(&b.w)};
    if (!b.w.bad)
        keyed_send(p, 0, from, &k);
}

static void ask_for(struct pair *p, uint8_t what)
{
    struct side *s = &p->s[0];
    struct msg_REKEY rekey = {.req = 77};
    if (!s->ctl_ike)
        return;
    snprintf(rekey.conn, sizeof(rekey.conn), "t");
    switch (what % 6) {
    case 0: break;
    case 1: snprintf(rekey.child, sizeof(rekey.child), "c"); break;
    case 2: rekey.reauth = 1; break;
    case 3: pair_initiate(p, 0, "d"); return;
    case 4: pair_terminate(p, 0, "c", false); return;
    default: pair_terminate(p, 0, NULL, false); return;
    }
    ipc_send(s->ctl_ike, MSG_REKEY, &rekey);
    pair_run(p);
}

static void second_child(struct conn_config *c, int side)
{
    static struct child_config both[2][2];
    static struct proposal proposals[2][1];
    both[side][0] = both[side][1] = c->children[0];
    both[side][1].proposals = proposals[side];
    pair_own_selectors(&both[side][1]);
    both[side][1].name = "d";
    both[side][1].local_ts->t[0].proto = both[side][1].remote_ts->t[0].proto = 17;
    pair_proposal(&both[side][1].proposals[0], PROTO_ESP, "aes256gcm16 x25519");
    c->children = both[side];
    c->child_count = 2;
    c->fragmentation = FRAGMENTATION_YES;
    c->dpd_delay = 1; // LATER
}

static void with_more(struct conn_config *c, int side)
{
    second_child(c, side);
    pair_proposal(&c->proposals[0], PROTO_IKE, "aes256gcm16 prfsha256 x25519 ke1_ecp256");
    pair_proposal(&c->children[1].proposals[0], PROTO_ESP, "aes256gcm16 x25519 ke1_ecp256");
}

static void play(struct pair *p, struct fuzzed *f, uint8_t scene)
{
    if (scene != REQUESTS && scene != RESPONSES) {
        f->left = 1;
        f->response = scene == AUTH_RESPONSE || scene == CERT_RESPONSE;
        f->from = f->response;
        p->filter = replace;
        pair_initiate(p, 0, "c");
        p->filter = NULL;
        if (!f->left && !f->genuine_proof && p->s[1 - f->from].ike_up)
            FUZZ_NEVER("an IKE SA was established although its peer proved nothing");
        return;
    }
    pair_initiate(p, 0, "c");
    f->from = 1;
    f->response = true;
    for (unsigned i = 0; i < MESSAGES && fuzz_more(&f->in); i++) {
        f->left = scene == RESPONSES ? 2 : 0;
        p->filter = scene == RESPONSES ? replace : NULL;
        if (scene == RESPONSES)
            ask_for(p, fuzz_u8(&f->in));
        else
            request(p, f);
        pair_forget_deleted(&p->s[0]);
        pair_forget_deleted(&p->s[1]);
    }
}

static void by_certificate(struct conn_config *c, int side)
{
    second_child(c, side);
    c->local.auth = c->remote.auth = AUTH_PUBKEY;
    c->send_cert = SEND_CERT_IFASKED;
    c->send_certreq = 1;
    ends_show(&c->local, side);
}

static struct pair *certified(void)
{
    struct pair *p = pair_new(NULL);
    for (int side = 0; side < 2; side++) {
        struct conn_config c;
        ends_trust(p, side);
        pair_default_conn(&c, side);
        by_certificate(&c, side);
        pair_load(p, side, &c);
        auth_side_clear(&c.local);
        auth_side_clear(&c.remote);
    }
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzzed f = {.in = reader_of(slice_of(data, size))};
    uint8_t first = fuzz_u8(&f.in);
    uint8_t scene = (uint8_t)((first & ~(LATER | MORE_KE)) % SCENES);
    struct pair *p = scene >= CERT_REQUEST
                         ? certified()
                         : pair_loaded(UNIQUE_REPLACE, first & MORE_KE ? with_more : second_child);
    p->ctx = &f;
    play(p, &f, scene);
    p->filter = NULL;
    if (first & LATER)
        pair_wait(p, 3000);
    pair_free(p);
    return 0;
}
