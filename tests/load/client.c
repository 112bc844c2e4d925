// SPDX-License-Identifier: Apache-2.0
// The exchanges of one client (RFC 7296 sections 1.2, 1.4, 2.6, 2.14, 2.15).
#include "tests/load/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>

#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/selectors.h"
#include "ctrl/keys/derive.h"
#include "tests/load/credentials.h"

enum { MESSAGE_MAX = 16384, HEAD_LEN = IKE_HEADER_LEN + PAYLOAD_HEADER_LEN, COOKIE_LEN_MAX = 64 };
enum { ID_BODY_MAX = ID_DATA_MAX + 4 };

struct client_handshake {
    struct cr_dh *dh;
    uint8_t ni[NONCE_LEN], nr[256];
    size_t nr_len;
    uint8_t *own_init, *peer_init; // whole messages, for AUTH
    size_t own_init_len, peer_init_len;
    uint8_t cookie[COOKIE_LEN_MAX];
    size_t cookie_len;
    uint8_t id[ID_BODY_MAX];
    size_t id_len;
    struct ike_secrets keys;
    struct ts local_ts;
};

static void handshake_free(struct client *c)
{
    if (!c->hs)
        return;
    cr_dh_free(c->hs->dh);
    free(c->hs->own_init);
    free(c->hs->peer_init);
    OPENSSL_cleanse(c->hs, sizeof(*c->hs));
    free(c->hs);
    c->hs = NULL;
}

void client_free(struct client *c)
{
    handshake_free(c);
    cr_sk_free(c->in);
    cr_sk_free(c->out);
    free(c->request);
    c->in = c->out = NULL;
    c->request = NULL;
}

static int keep_request(struct client *c, const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, data, len);
    free(c->request);
    c->request = copy;
    c->request_len = (uint32_t)len;
    return 0;
}

static int copy_of(struct slice s, uint8_t **out, size_t *len)
{
    uint8_t *copy = malloc(s.len);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, s.p, s.len);
    free(*out);
    *out = copy;
    *len = s.len;
    return 0;
}

static enum client_event lost(struct client *c)
{
    client_free(c);
    c->state = CLIENT_FAILED;
    return CLIENT_LOST;
}

// ---- IKE_SA_INIT
static void put_nat(struct cr_algs *algs, struct pb *b, uint16_t type, uint64_t spi_i, const struct addr *a,
                    uint16_t port)
{
    uint8_t buf[34], hash[20];
    struct writer w = writer_of(buf, sizeof(buf));

    wr_u64(&w, spi_i);
    wr_u64(&w, 0);
    wr_bytes(&w, a->a, a->family == 4 ? 4 : 16);
    wr_u16(&w, port);
    struct cr_slice part = {buf, w.len};
    if (cr_sha1(algs, &part, 1, hash) != 0)
        b->w.bad = true;
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), type, slice_of(hash, sizeof(hash)));
}

static uint16_t group_of(const struct proposal *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->t[i].type == TR_KE)
            return p->t[i].id;
    return 0;
}

static int send_init(struct client *c, const struct load_options *o, const struct client_ends *ends)
{
    struct client_handshake *hs = c->hs;
    uint8_t msg[MESSAGE_MAX], value[CR_DH_MAX];
    struct pb b = pb_of(msg + IKE_HEADER_LEN, sizeof(msg) - IKE_HEADER_LEN);
    struct ike_header h = {
        .spi_i = c->spi_i, .version = IKE_VERSION, .exchange = EX_SA_INIT, .flags = FLAG_INITIATOR};
    struct writer w = writer_of(msg, IKE_HEADER_LEN);
    size_t len;
    int ret = cr_dh_public(hs->dh, value, sizeof(value), &len);

    if (ret != 0)
        return ret;
    if (hs->cookie_len)
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_COOKIE, slice_of(hs->cookie, hs->cookie_len));
    pb_offer(&b, &o->ike, 1, true, 0, 0);
    pb_ke(&b, group_of(&o->ike), slice_of(value, len));
    pb_payload(&b, PL_NONCE, slice_of(hs->ni, sizeof(hs->ni)));
    put_nat(o->algs, &b, N_NAT_DETECTION_SOURCE_IP, c->spi_i, &ends->local, ends->local_port);
    put_nat(o->algs, &b, N_NAT_DETECTION_DESTINATION_IP, c->spi_i, &ends->remote, ends->remote_port);
    if (o->credentials)
        pb_signature_hashes(&b);
    if (b.w.bad)
        return -EMSGSIZE;
    h.next = b.first;
    h.length = (uint32_t)(IKE_HEADER_LEN + b.w.len);
    header_write(&w, &h);
    ret = copy_of(slice_of(msg, h.length), &hs->own_init, &hs->own_init_len);
    return ret ? ret : keep_request(c, msg, h.length);
}

static bool own_id(const struct load_options *o, uint32_t n, struct client_handshake *hs)
{
    char text[ID_TEMPLATE_MAX + 16];
    const char *at = strstr(o->id, "%u");
    struct writer w = writer_of(hs->id, sizeof(hs->id));
    struct identity id;

    if (at)
        snprintf(text, sizeof(text), "%.*s%u%s", (int)(at - o->id), o->id, n, at + 2);
    else
        snprintf(text, sizeof(text), "%s", o->id);
    if (!identity_parse(text, &id))
        return false;
    identity_write(&w, &id);
    hs->id_len = w.len;
    return !w.bad;
}

// The n-th address from the first of the selector on.
static struct ts own_selector(const struct ts *base, uint32_t n)
{
    struct ts t = *base;
    unsigned last = t.family == 4 ? 3 : 15;

    for (uint32_t add = n, i = 0; add && i <= last; i++) {
        add += t.lo[last - i];
        t.lo[last - i] = (uint8_t)add;
        add >>= 8;
    }
    memcpy(t.hi, t.lo, sizeof(t.hi));
    return t;
}

int client_begin(struct client *c, const struct load_options *o, const struct client_ends *ends)
{
    uint32_t tag;
    int ret;

    c->hs = calloc(1, sizeof(*c->hs));
    if (!c->hs)
        return -ENOMEM;
    ret = cr_random(&tag, sizeof(tag));
    if (ret == 0)
        ret = cr_random(c->hs->ni, sizeof(c->hs->ni));
    c->spi_i = (uint64_t)(tag | 1) << 32 | c->n;
    c->hs->local_ts = own_selector(&o->local_ts, o->first + c->n);
    if (ret == 0 && !own_id(o, o->first + c->n, c->hs))
        ret = -EINVAL;
    if (ret == 0)
        ret = cr_dh_new(o->algs, group_of(&o->ike), &c->hs->dh);
    if (ret == 0)
        ret = send_init(c, o, ends);
    if (ret != 0) {
        lost(c);
        return ret;
    }
    c->state = CLIENT_INIT;
    return 0;
}

// ---- what is sealed
static int seal_message(struct client *c, uint8_t exchange, uint8_t flags, uint32_t mid, const struct pb *b,
                        uint8_t *msg, size_t cap, size_t *len)
{
    size_t body = cr_sk_sealed_len(c->out, b->w.len);
    struct ike_header h = {c->spi_i, c->spi_r,
                           PL_SK,    IKE_VERSION,
                           exchange, (uint8_t)(FLAG_INITIATOR | flags),
                           mid,      (uint32_t)(HEAD_LEN + body)};
    struct writer w = writer_of(msg, HEAD_LEN);

    if (b->w.bad || HEAD_LEN + body > cap)
        return -EMSGSIZE;
    header_write(&w, &h);
    wr_u8(&w, b->first);
    wr_u8(&w, 0);
    wr_u16(&w, (uint16_t)(PAYLOAD_HEADER_LEN + body));
    *len = h.length;
    return cr_sk_seal(c->out, msg, HEAD_LEN, b->w.p, b->w.len, cap);
}

static int make_keys(struct cr_algs *a, struct client *c, const struct suite *s, const struct ke *ke)
{
    struct cr_sk_alg alg = {s->encr.id, s->encr.key_bits, s->integ.id};
    struct client_handshake *hs = c->hs;
    uint8_t secret[CR_SHARED_MAX];
    size_t len;
    int ret = cr_dh_shared(a, hs->dh, ke->value.p, ke->value.len, secret, sizeof(secret), &len);

    if (ret != 0)
        return ret;
    struct slice shared = slice_of(secret, len);
    ret = derive_ike(&alg, cr_prf_find(a, s->prf.id), &shared, 1, slice_of(hs->ni, NONCE_LEN),
                     slice_of(hs->nr, hs->nr_len), c->spi_i, c->spi_r, NULL, &hs->keys);
    OPENSSL_cleanse(secret, sizeof(secret));
    if (ret == 0)
        ret = cr_sk_new(a, &alg, hs->keys.sk_ei, hs->keys.ke_len, hs->keys.sk_ai, hs->keys.ka_len, &c->out);
    if (ret == 0)
        ret = cr_sk_new(a, &alg, hs->keys.sk_er, hs->keys.ke_len, hs->keys.sk_ar, hs->keys.ka_len, &c->in);
    return ret;
}

// The octets that an AUTH covers: RFC 7296 2.15.
struct covered {
    struct cr_slice parts[3];
    uint8_t maced[CR_PRF_MAX];
};
static int cover(const struct client_handshake *hs, bool own, struct slice id, struct covered *out)
{
    out->parts[0] = own ? (struct cr_slice){hs->own_init, hs->own_init_len}
                        : (struct cr_slice){hs->peer_init, hs->peer_init_len};
    out->parts[1] = own ? (struct cr_slice){hs->nr, hs->nr_len} : (struct cr_slice){hs->ni, NONCE_LEN};
    out->parts[2] = (struct cr_slice){out->maced, hs->keys.prf_len};
    return derive_maced_id(&hs->keys, own, id, out->maced);
}

static int put_auth(struct client *c, const struct load_options *o, struct pb *b, struct esp_error *err)
{
    struct client_handshake *hs = c->hs;
    struct slice id = slice_of(hs->id, hs->id_len);
    uint8_t value[CR_SIG_MAX];
    struct covered over;
    size_t len;
    int ret;

    if (!o->credentials) {
        ret = derive_psk_auth(&hs->keys, true, slice_str(o->psk), slice_of(hs->own_init, hs->own_init_len),
                              slice_of(hs->nr, hs->nr_len), id, value);
        if (ret == 0)
            pb_auth(b, CR_METHOD_PSK, slice_of(value, hs->keys.prf_len));
        return ret;
    }
    ret = cover(hs, true, id, &over);
    if (ret == 0)
        ret = cr_sign(o->credentials->key, cr_schemes_default(), CR_METHOD_SIGNATURE, over.parts, 3, value,
                      sizeof(value), &len, err);
    if (ret == 0)
        pb_auth(b, CR_METHOD_SIGNATURE, slice_of(value, len));
    return ret;
}

static int send_auth(struct client *c, const struct load_options *o, struct esp_error *err)
{
    uint8_t plain[MESSAGE_MAX], msg[MESSAGE_MAX];
    struct pb b = pb_of(plain, sizeof(plain));
    struct ts_list local = {.count = 1, .t = {c->hs->local_ts}}, remote = {.count = 1, .t = {o->remote_ts}};
    uint32_t spi;
    size_t len;
    int ret = cr_random(&spi, sizeof(spi));

    pb_payload(&b, PL_IDI, slice_of(c->hs->id, c->hs->id_len));
    if (o->credentials) {
        pb_cert(&b, CERT_X509, slice_of(o->credentials->cert, o->credentials->cert_len));
        pb_certreq(&b, slice_of(NULL, 0));
    }
    if (ret == 0)
        ret = put_auth(c, o, &b, err);
    if (o->initial_contact)
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_INITIAL_CONTACT, slice_of(NULL, 0));
    pb_offer(&b, &o->esp, 1, false, spi | 0x100, 4);
    pb_selectors(&b, PL_TSI, &local);
    pb_selectors(&b, PL_TSR, &remote);
    if (ret == 0)
        ret = seal_message(c, EX_AUTH, 0, 1, &b, msg, sizeof(msg), &len);
    OPENSSL_cleanse(plain, sizeof(plain));
    if (ret == 0)
        ret = keep_request(c, msg, len);
    if (ret == 0) {
        c->state = CLIENT_AUTH;
        c->out_mid = 1;
    }
    return ret;
}

// ---- the answer to IKE_SA_INIT
static enum client_event got_cookie(struct client *c, const struct load_options *o,
                                    const struct client_ends *ends, struct slice cookie,
                                    struct esp_error *err)
{
    struct client_handshake *hs = c->hs;

    if (cookie.len == 0 || cookie.len > COOKIE_LEN_MAX) {
        esp_fail(err, -EBADMSG, "COOKIE", "of %zu octets, expected 1 to 64 (RFC 7296 2.6)", cookie.len);
        return lost(c);
    }
    memcpy(hs->cookie, cookie.p, cookie.len);
    hs->cookie_len = cookie.len;
    if (send_init(c, o, ends) != 0)
        return lost(c);
    return CLIENT_COOKIE;
}

static enum client_event got_init(struct client *c, const struct load_options *o, const struct ike_header *h,
                                  struct slice datagram, const struct payloads *pl, struct esp_error *err)
{
    const struct payload *sa = payload_find(pl, PL_SA), *kp = payload_find(pl, PL_KE),
                         *np = payload_find(pl, PL_NONCE);
    struct client_handshake *hs = c->hs;
    struct refusal r = {0};
    struct notify n;
    struct suite s;
    struct ke ke;
    uint64_t spi;

    if (notify_first_error(pl, &n)) {
        esp_fail(err, -EPROTO, "IKE_SA_INIT", "answered with %s", notify_name(n.type));
        return lost(c);
    }
    if (!sa || !kp || !np || !h->spi_r || !ke_read(kp->body, &ke) || np->body.len > sizeof(hs->nr) ||
        answer_read(sa->body, &o->ike, 1, true, PROTO_IKE, 0, &s, &spi, &r) != 0 || ke.group != s.ke.id) {
        esp_fail(err, -EBADMSG, "IKE_SA_INIT", "%s", r.notify ? r.why.text : "the answer lacks a payload");
        return lost(c);
    }
    c->spi_r = h->spi_r;
    memcpy(hs->nr, np->body.p, np->body.len);
    hs->nr_len = np->body.len;
    if (o->kind == LOAD_HALF_OPEN) {
        client_free(c);
        c->state = CLIENT_UP;
        return CLIENT_DONE;
    }
    if (copy_of(datagram, &hs->peer_init, &hs->peer_init_len) != 0 || make_keys(o->algs, c, &s, &ke) != 0 ||
        send_auth(c, o, err) != 0) {
        if (!err->code)
            esp_fail(err, -EPROTO, "IKE_SA_INIT", "no keys can be made with the answer");
        return lost(c);
    }
    return CLIENT_SEND;
}

// ---- the answer to IKE_AUTH
static int check_peer(const struct client *c, const struct load_options *o, const struct payloads *pl,
                      struct esp_error *err)
{
    const struct payload *id = payload_find(pl, PL_IDR), *ap = payload_find(pl, PL_AUTH),
                         *cert = payload_find(pl, PL_CERT);
    const struct client_handshake *hs = c->hs;
    uint8_t want[CR_PRF_MAX];
    struct covered over;
    struct auth a;

    if (!id || !ap || !auth_read(ap->body, &a))
        return esp_fail(err, -EBADMSG, "IKE_AUTH", "the answer has no IDr or no AUTH");
    if (a.method == CR_METHOD_PSK && o->psk) {
        if (derive_psk_auth(&hs->keys, false, slice_str(o->psk), slice_of(hs->peer_init, hs->peer_init_len),
                            slice_of(hs->ni, NONCE_LEN), id->body, want) != 0 ||
            !slice_eq(slice_of(want, hs->keys.prf_len), a.value))
            return esp_fail(err, -EBADMSG, "AUTH", "the responder's is not of this shared secret");
        return 0;
    }
    if (!o->credentials || !cert || cert->body.len < 2 || cert->body.p[0] != CERT_X509)
        return esp_fail(err, -EBADMSG, "AUTH", "method %u of the responder, expected %s", a.method,
                        o->psk ? "a shared secret" : "a signature with its certificate");
    if (cover(hs, false, id->body, &over) != 0)
        return esp_fail(err, -EIO, "AUTH", "nothing to check it with");
    return credentials_check(slice_of(cert->body.p + 1, cert->body.len - 1), a.method, a.value, over.parts, 3,
                             err);
}

static enum client_event got_auth(struct client *c, const struct load_options *o, const struct payloads *pl,
                                  struct esp_error *err)
{
    const struct payload *sa = payload_find(pl, PL_SA);
    struct refusal r = {0};
    struct notify n;
    struct suite s;
    uint64_t spi;

    if (notify_first_error(pl, &n)) {
        esp_fail(err, -EACCES, "IKE_AUTH", "answered with %s", notify_name(n.type));
        return lost(c);
    }
    if (check_peer(c, o, pl, err) != 0)
        return lost(c);
    if (!sa || answer_read(sa->body, &o->esp, 1, false, PROTO_ESP, 4, &s, &spi, &r) != 0 ||
        !payload_find(pl, PL_TSI) || !payload_find(pl, PL_TSR)) {
        esp_fail(err, -EBADMSG, "CHILD SA", "%s", r.notify ? r.why.text : "the answer lacks SA, TSi or TSr");
        return lost(c);
    }
    handshake_free(c);
    free(c->request);
    c->request = NULL;
    c->state = CLIENT_UP;
    c->out_mid = 2;
    return CLIENT_DONE;
}

// ---- afterwards
int client_end(struct client *c)
{
    uint8_t plain[64], msg[256];
    struct pb b = pb_of(plain, sizeof(plain));
    size_t len;
    int ret;

    pb_delete(&b, PROTO_IKE, NULL, 0);
    ret = seal_message(c, EX_INFORMATIONAL, 0, c->out_mid, &b, msg, sizeof(msg), &len);
    if (ret == 0)
        ret = keep_request(c, msg, len);
    if (ret == 0)
        c->state = CLIENT_ENDING;
    return ret;
}

static bool deletes_ike(const struct payloads *pl)
{
    struct delete_payload d;

    for (unsigned i = 0; i < pl->count; i++)
        if (pl->p[i].type == PL_DELETE && delete_read(pl->p[i].body, &d) && d.protocol == PROTO_IKE)
            return true;
    return false;
}

// Any request is answered: that we are here, or that we make no further SAs.
static enum client_event answer(struct client *c, const struct ike_header *h, const struct payloads *pl,
                                struct client_reply *reply)
{
    uint8_t plain[64];
    struct pb b = pb_of(plain, sizeof(plain));
    bool ends = deletes_ike(pl);

    if (h->mid + 1 != c->in_mid && h->mid != c->in_mid)
        return CLIENT_NOTHING;
    if (h->exchange != EX_INFORMATIONAL)
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_NO_ADDITIONAL_SAS, slice_of(NULL, 0));
    if (seal_message(c, h->exchange, FLAG_RESPONSE, h->mid, &b, reply->data, sizeof(reply->data),
                     &reply->len))
        return CLIENT_NOTHING;
    c->in_mid = h->mid + 1;
    if (ends && c->state == CLIENT_UP)
        c->state = CLIENT_GONE;
    return ends ? CLIENT_ENDED : CLIENT_ANSWER;
}

static enum client_event sealed(struct client *c, const struct load_options *o, const struct ike_header *h,
                                struct slice datagram, const struct payloads *outer,
                                struct client_reply *reply, struct esp_error *err)
{
    const struct payload *sk = outer->count ? &outer->p[outer->count - 1] : NULL;
    struct refusal r = {0};
    struct payloads inner;
    uint8_t plain[MESSAGE_MAX];
    enum client_event event = CLIENT_UNOPENED;
    size_t len;

    if (sk && sk->type == PL_SK && outer->count == 1 && c->in && datagram.len <= sizeof(plain) &&
        cr_sk_open(c->in, datagram.p, HEAD_LEN, datagram.len, plain, &len) == 0) {
        if (payloads_read(sk->next, slice_of(plain, len), &inner, &r) != 0 ||
            payloads_validate(&inner, &r) != 0) {
            esp_fail(err, -EBADMSG, r.why.field, "%s", r.why.text);
            event = lost(c);
        } else if (!(h->flags & FLAG_RESPONSE)) {
            event = answer(c, h, &inner, reply);
        } else if (h->mid != c->out_mid) {
            event = CLIENT_NOTHING;
        } else if (c->state == CLIENT_AUTH && h->exchange == EX_AUTH) {
            event = got_auth(c, o, &inner, err);
        } else if (c->state == CLIENT_ENDING) {
            client_free(c);
            c->state = CLIENT_GONE;
            event = CLIENT_DONE;
        } else {
            event = CLIENT_NOTHING;
        }
    }
    OPENSSL_cleanse(plain, sizeof(plain));
    return event;
}

enum client_event client_receive(struct client *c, const struct load_options *o,
                                 const struct client_ends *ends, struct slice datagram,
                                 struct client_reply *reply, struct esp_error *err)
{
    struct refusal r = {0};
    struct payloads pl;
    struct ike_header h;
    struct notify n;
    enum client_event event = CLIENT_UNOPENED;

    if (!header_read(datagram, &h) || h.spi_i != c->spi_i)
        return CLIENT_UNOPENED;
    if (payloads_read(h.next, slice_of(datagram.p + IKE_HEADER_LEN, datagram.len - IKE_HEADER_LEN), &pl,
                      &r) == 0 &&
        payloads_validate(&pl, &r) == 0) {
        if (h.exchange != EX_SA_INIT)
            event = sealed(c, o, &h, datagram, &pl, reply, err);
        else if (c->state != CLIENT_INIT || !(h.flags & FLAG_RESPONSE))
            event = CLIENT_NOTHING;
        else if (notify_find(&pl, N_COOKIE, &n))
            event = c->hs->cookie_len ? CLIENT_NOTHING : got_cookie(c, o, ends, n.data, err);
        else
            event = got_init(c, o, &h, datagram, &pl, err);
    }
    return event;
}
