// SPDX-License-Identifier: Apache-2.0
// EAP inside IKE_AUTH (RFC 7296 section 2.16), toward the server and toward the client: EAP-MSCHAPv2 and
// EAP-TLS, with the server's certificate or alone. The first octet says which, and which end the fuzzer is;
// then comes what becomes of each further IKE_AUTH message of that end:
//   0:       it goes as it is
//   SAY:     code, type, length, octets: another EAP packet, with the genuine one's identifier
//   RAW:     length, octets: what stands in the EAP payload
//   TOUCH:   number of changes, each as offset and what is changed of that octet
//   WITHOUT: no EAP payload
// TWICE: the client's certificate comes first, and EAP is its second round (RFC 4739).
// with MORE: and payloads as keyed.h describes them, behind all others. A FALSE end has not the other's
// password: whatever it says, that other end must not take it for whom it claims to be.
#include "tests/fuzz/ends.h"
#include "tests/fuzz/keyed.h"

enum scene { NAMED, ASKED, TLS, TLS_ALONE, SCENES };
enum { SERVER = 8, FALSE = 16, TWICE = 32 };
enum { SAY = 1, RAW = 2, TOUCH = 4, WITHOUT = 8, MORE = 16 };
enum { ROOM = 60000, PACKET_MAX = 8192, EAP_HEADER = 5 };

struct fuzzed {
    struct reader in;
    int from;
    unsigned changed;
};

// ---- what the fuzzer says

static struct slice say(struct reader *in, struct slice genuine, uint8_t *buf)
{
    struct writer w = writer_of(buf, PACKET_MAX);
    uint8_t code = fuzz_u8(in), type = fuzz_u8(in);
    struct slice body = fuzz_bytes(in, fuzz_u16(in));
    wr_u8(&w, code);
    wr_u8(&w, genuine.len > 1 ? genuine.p[1] : 0);
    wr_u16(&w, (uint16_t)(EAP_HEADER + body.len));
    wr_u8(&w, type);
    wr_slice(&w, body);
    return wr_written(&w);
}

static struct slice touch(struct reader *in, struct slice genuine, uint8_t *buf)
{
    size_t len = genuine.len < PACKET_MAX ? genuine.len : PACKET_MAX;
    if (len)
        memcpy(buf, genuine.p, len);
    for (unsigned n = fuzz_u8(in); n && fuzz_more(in); n--) {
        size_t at = fuzz_u16(in);
        uint8_t what = fuzz_u8(in);
        if (len)
            buf[at % len] ^= what;
    }
    return slice_of(buf, len);
}

static void compose(struct reader *in, uint8_t how, const struct payloads *genuine, struct pb *b)
{
    static uint8_t packet[PACKET_MAX];
    const struct payload *eap = payload_find(genuine, PL_EAP);
    struct slice body = eap ? eap->body : slice_of(NULL, 0);
    for (unsigned i = 0; i < genuine->count; i++)
        if (genuine->p[i].type != PL_EAP)
            pb_payload(b, genuine->p[i].type, genuine->p[i].body);
    if (how & SAY)
        body = say(in, body, packet);
    else if (how & RAW)
        body = fuzz_bytes(in, fuzz_u16(in));
    else if (how & TOUCH)
        body = touch(in, body, packet);
    if (!(how & WITHOUT))
        pb_payload(b, PL_EAP, body);
    if (how & MORE)
        keyed_compose(in, genuine, 0, b);
}

// Takes the genuine message's place; what it stood for is lost.
static int replace(struct pair *p, unsigned number, struct datagram *d)
{
    static uint8_t plain[ROOM], opened[MAX_MESSAGE];
    struct fuzzed *f = p->ctx;
    struct ike_sa *from = p->s[f->from].ike->sas;
    struct ike_header h;
    struct payloads genuine;
    (void)number;
    if (d->to == f->from || !from || !from->sk_out || !fuzz_more(&f->in) ||
        !header_read(slice_of(d->data, d->len), &h) || h.exchange != EX_AUTH)
        return 1;
    uint8_t how = fuzz_u8(&f->in);
    if (!how || !keyed_open_own(from, slice_of(d->data, d->len), opened, &genuine))
        return 1;
    struct pb b = pb_of(plain, sizeof(plain));
    compose(&f->in, how, &genuine, &b);
    struct keyed k = {EX_AUTH, f->from == 1, h.mid, b.first, 0, 0, wr_written(&b.w)};
    f->changed++;
    if (!b.w.bad)
        keyed_send(p, f->from, from, &k);
    return 0;
}

// ---- the ends

static void by_eap(struct auth_side *s, int side, bool tls)
{
    s->auth = AUTH_EAP;
    s->eap_type = tls ? EAP_TLS : EAP_MSCHAPV2;
    s->id = "a.test";
    if (!side && tls)
        ends_show(s, side);
}

static void in_two_rounds(struct conn_config *c, int side, bool tls)
{
    struct auth_side *first = side ? &c->remote : &c->local;
    if (!side && !tls)
        ends_show(first, side);
    first->auth = AUTH_PUBKEY;
    first->eap_type = 0;
    by_eap(conn_add_round(c, !side), side, tls);
}

static void configure(struct conn_config *c, int side, enum scene scene, bool twice)
{
    bool tls = scene == TLS || scene == TLS_ALONE, alone = scene == TLS_ALONE;
    c->local.auth = side && !alone ? AUTH_PUBKEY : AUTH_EAP;
    c->remote.auth = side || alone ? AUTH_EAP : AUTH_PUBKEY;
    (side ? &c->remote : &c->local)->eap_type = tls ? EAP_TLS : EAP_MSCHAPV2;
    if (alone)
        c->local.eap_type = c->remote.eap_type = EAP_TLS;
    c->send_cert = SEND_CERT_ALWAYS;
    c->send_certreq = 1;
    c->fragmentation = FRAGMENTATION_NO; // what is replaced is one datagram
    if (side || tls)
        ends_show(&c->local, side);
    if (twice && (scene == NAMED || scene == TLS))
        in_two_rounds(c, side, tls);
    if (scene == ASKED && auth_set_id(side ? &c->remote : &c->local, AUTH_EAP_ID, side ? "%any" : "bob") != 0)
        abort();
}

static void config_rounds_free(struct auth_round *r)
{
    for (struct auth_round *next; r; r = next) {
        next = r->next;
        auth_side_clear(&r->side);
        free(r);
    }
}

static void load(struct pair *p, int side, enum scene scene, bool twice, const char *password)
{
    static const uint8_t owners[] = {0, 3, 'b', 'o', 'b', 0, 6, 'a', '.', 't', 'e', 's', 't'};
    struct conn_config c;
    struct msg_SECRET_LOAD secret = {.req = 3,
                                     .id = "eap",
                                     .type = "eap",
                                     .data = slice_str(password),
                                     .owners = slice_of(owners, sizeof(owners))};
    ends_trust(p, side);
    ipc_send(p->s[side].ctl_keys, MSG_SECRET_LOAD, &secret);
    pair_run(p);
    pair_default_conn(&c, side);
    configure(&c, side, scene, twice);
    pair_load(p, side, &c);
    auth_side_clear(&c.local);
    auth_side_clear(&c.remote);
    config_rounds_free(c.local_more);
    config_rounds_free(c.remote_more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzzed f = {.in = reader_of(slice_of(data, size))};
    uint8_t first = fuzz_u8(&f.in);
    enum scene scene = (enum scene)(first % SCENES);
    bool liar = first & FALSE && (scene == NAMED || scene == ASKED);
    struct pair *p = pair_new(NULL);
    f.from = first & SERVER ? 1 : 0;
    for (int side = 0; side < 2; side++)
        load(p, side, scene, first & TWICE, liar && side == f.from ? "guessed" : "geheim");
    p->ctx = &f;
    p->filter = replace;
    pair_initiate(p, 0, "c");
    p->filter = NULL;
    if (!f.changed && !liar && !p->s[0].ike_up)
        FUZZ_NEVER("nobody changed anything, and no IKE SA is up");
    if (liar && p->s[!f.from].ike_up)
        FUZZ_NEVER("an IKE SA was established although its peer had not the password");
    pair_free(p);
    return 0;
}
