// SPDX-License-Identifier: Apache-2.0
// Certificates: in some worlds sites prove themselves by them, each end of a pair in its own way. One root,
// an authority below it for some of the sites, CRLs of both that the web serves (web.c). A site's certificate
// ends or is revoked while things go wrong, its operator loads another, at the latest when all is calm again.
//
// Judged (proof): nobody takes a certificate that has ended by his own clock, or that the newest CRL that he
// has got revokes; where revocation is strict (or ifuri, as all certificates here name a CRL) none without
// CRLs in force of all who have signed; and what was proven by one that has ended is over soon.
//
// Keys are fixed and of Ed25519, which signs without chance: one seed is one world, whatever ran before it.
// By dice of its own, so that what those of other worlds decide stays what it was.
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctrl/ctl/vici_msg.h"
#include "ctrl/pki/pki.h"
#include "tests/world/standing.h"
#include "tests/world/world.h"

enum { ROOT, MID, HOUR = 3600, OVER_S = 150, LATE_S = 60, EVERY_US = 1000000 };
#define BASE INT64_C(1780000000) // the wall clocks at the world's beginning
static const char *const urls[] = {"http://crl.world/root.crl", "http://crl.world/mid.crl"};

int64_t certs_wall(void *ctx)
{
    const struct site *s = ctx;
    return BASE + (int64_t)((s->w->now + s->d.offset - s->d.booted) / SECOND);
}

// ---- making

static EVP_PKEY *key_of(unsigned who)
{
    uint8_t raw[32];
    memset(raw, 0x40 + (int)who, sizeof(raw));
    EVP_PKEY *k = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, sizeof(raw));
    if (!k)
        abort();
    return k;
}

static void put_name(X509_NAME *n, const char *cn)
{
    if (!X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0))
        abort();
}

static void put_ext(X509 *x, X509 *issuer, int nid, const char *text)
{
    X509V3_CTX c;
    X509V3_set_ctx(&c, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &c, nid, text);
    if (!e || !X509_add_ext(x, e, -1))
        abort();
    X509_EXTENSION_free(e);
}

struct like {
    const char *cn;
    unsigned key, signer;
    X509 *issuer; // NULL: itself
    long serial;
    int64_t ends;
    const char *san, *crl; // san NULL: an authority
};

static X509 *make(const struct like *l)
{
    X509 *x = X509_new(), *issuer = l->issuer ? l->issuer : x;
    EVP_PKEY *k = key_of(l->key), *signer = key_of(l->signer);
    char text[100];
    if (!x || !X509_set_version(x, X509_VERSION_3) ||
        !ASN1_INTEGER_set(X509_get_serialNumber(x), l->serial) ||
        !ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(BASE - HOUR)) ||
        !ASN1_TIME_set(X509_getm_notAfter(x), (time_t)l->ends) || !X509_set_pubkey(x, k))
        abort();
    put_name(X509_get_subject_name(x), l->cn);
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    put_ext(x, issuer, NID_basic_constraints, l->san ? "CA:FALSE" : "critical,CA:TRUE");
    put_ext(x, issuer, NID_key_usage, l->san ? "digitalSignature" : "critical,keyCertSign,cRLSign");
    put_ext(x, issuer, NID_subject_key_identifier, "hash");
    if (l->issuer)
        put_ext(x, issuer, NID_authority_key_identifier, "keyid");
    if (l->san)
        put_ext(x, issuer, NID_subject_alt_name, l->san);
    if (l->crl) {
        snprintf(text, sizeof(text), "URI:%s", l->crl);
        put_ext(x, issuer, NID_crl_distribution_points, text);
    }
    if (!X509_sign(x, signer, NULL))
        abort();
    EVP_PKEY_free(k);
    EVP_PKEY_free(signer);
    return x;
}

static void keep(struct octets *o, uint8_t *der, int len)
{
    if (len <= 0 || (size_t)len > sizeof(o->p))
        abort();
    memcpy(o->p, der, (size_t)len);
    o->len = (size_t)len;
    OPENSSL_free(der);
}

static void keep_cert(struct octets *o, X509 *x)
{
    uint8_t *der = NULL;
    int len = i2d_X509(x, &der);
    keep(o, der, len);
}

static void issue(struct site *s, int64_t ends)
{
    struct world *w = s->w;
    struct certs *c = &w->certs;
    unsigned by = c->by_mid[s->index] ? MID : ROOT;
    char cn[16], san[24];
    snprintf(cn, sizeof(cn), "%c.world", s->letter);
    snprintf(san, sizeof(san), "DNS:%c.world", s->letter);
    struct issued *i = &c->issued[c->count];
    *i = (struct issued){.site = s->index, .by = by, .ends = ends};
    X509 *x = make(&(struct like){.cn = cn,
                                  .key = 2 + s->index,
                                  .signer = by,
                                  .issuer = c->ca[by],
                                  .serial = (long)(100 + c->count),
                                  .ends = ends,
                                  .san = san,
                                  .crl = urls[by]});
    keep_cert(&i->der, x);
    X509_free(x);
    c->now[s->index] = c->count++;
    TRACE(w, 110, c->count, "certificate %u for %c, by %s, ends %lld s from the beginning", 99 + c->count,
          s->letter, by ? "mid" : "root", (long long)(ends - BASE));
}

void certs_make(struct world *w)
{
    struct certs *c = &w->certs;
    const struct plain *plain = w->o.plain;
    rng_seed(&c->dice, w->o.seed ^ 0x63657274);
    c->on = plain ? plain->certs : rng_chance(&c->dice, 350);
    if (!c->on)
        return;
    c->ca[ROOT] = make(
        &(struct like){.cn = "root", .key = ROOT, .signer = ROOT, .serial = 1, .ends = BASE + 9000 * HOUR});
    c->ca[MID] = make(&(struct like){.cn = "mid",
                                     .key = MID,
                                     .signer = ROOT,
                                     .issuer = c->ca[ROOT],
                                     .serial = 2,
                                     .ends = BASE + 9000 * HOUR,
                                     .crl = urls[ROOT]});
    for (unsigned i = 0; i < w->sites; i++) {
        c->by_mid[i] = rng_chance(&c->dice, 400);
        issue(&w->site[i], BASE + 900 * HOUR);
    }
}

// After the plans.
void certs_plan(struct world *w)
{
    static const char *const rules[] = {"relaxed", "ifuri", "strict"};
    struct rng *r = &w->certs.dice;
    for (unsigned i = 0; i < w->pairs && w->certs.on; i++) {
        struct pair *p = &w->pair[i];
        bool both = w->o.plain || rng_chance(r, 600);
        p->by_cert[0] = both || rng_chance(r, 400);
        p->by_cert[1] = both || rng_chance(r, 400);
        p->revocation = rules[w->o.plain ? 2 : rng_below(r, 3)];
        TRACE(w, 111, p->by_cert[0] * 2 + p->by_cert[1], "plan %s: %s by %s, %s by %s, revocation %s",
              p->name, "a", p->by_cert[0] ? "certificate" : "secret", "b",
              p->by_cert[1] ? "certificate" : "secret", p->revocation);
    }
}

void certs_free(struct world *w)
{
    X509_free(w->certs.ca[ROOT]);
    X509_free(w->certs.ca[MID]);
}

// ---- what operators load

void certs_connect(struct site *s)
{
    if (!s->w->certs.on)
        return;
    for (int k = CMD_CERT_CA; k <= CMD_CERT_END; k++)
        operator_order(s, (enum command_kind)k, 0, 0, 0);
}

void certs_encode(struct vici_out *o, const struct site *s, const struct order *c)
{
    const struct certs *all = &s->w->certs;
    struct octets der = {0};
    uint8_t *p = NULL;
    if (c->kind == CMD_CERT_KEY) {
        EVP_PKEY *k = key_of(2 + s->index);
        int len = i2d_PrivateKey(k, &p);
        keep(&der, p, len);
        EVP_PKEY_free(k);
        vici_put(o, "type", "any");
    } else {
        if (c->kind == CMD_CERT_END)
            der = all->issued[all->now[s->index]].der;
        else
            keep_cert(&der, all->ca[c->kind == CMD_CERT_CA ? ROOT : MID]);
        vici_put(o, "type", "X509");
        vici_put(o, "flag", c->kind == CMD_CERT_CA ? "CA" : "NONE");
    }
    vici_put_blob(o, "data", der.p, der.len);
}

// ---- what the web says

static uint32_t listed(const struct certs *c, unsigned by)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < c->count; i++)
        bits |= c->issued[i].by == by && c->issued[i].revoked ? 1u << i : 0;
    return bits;
}

// Until the fair weather is over, some minutes while things go wrong, an hour when all is calm; by the clock
// of whoever asks.
static int64_t next_update(const struct site *s)
{
    struct world *w = s->w;
    int64_t now = certs_wall((void *)s);
    if (w->fair)
        return now + (int64_t)((w->fair_until - w->now) / SECOND) + 10;
    return now + (w->calm ? HOUR : (int64_t)rng_between(&w->certs.dice, 40, 200));
}

static X509_CRL *make_crl(struct site *s, unsigned by, int64_t until)
{
    struct certs *c = &s->w->certs;
    X509_CRL *l = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)certs_wall(s));
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    EVP_PKEY *k = key_of(by);
    if (!l || !t || !number || !X509_CRL_set_version(l, X509_CRL_VERSION_2) ||
        !X509_CRL_set_issuer_name(l, X509_get_subject_name(c->ca[by])) || !X509_CRL_set1_lastUpdate(l, t) ||
        !ASN1_TIME_set(t, (time_t)until) || !X509_CRL_set1_nextUpdate(l, t) ||
        !ASN1_TIME_set(t, (time_t)(BASE - HOUR)) || !ASN1_INTEGER_set(number, ++c->crl_number) ||
        X509_CRL_add1_ext_i2d(l, NID_crl_number, number, 0, 0) != 1)
        abort();
    for (unsigned i = 0; i < c->count; i++) {
        if (!(listed(c, by) & 1u << i))
            continue;
        X509_REVOKED *one = X509_REVOKED_new();
        ASN1_INTEGER_set(number, (long)(100 + i));
        if (!one || !X509_REVOKED_set_serialNumber(one, number) || !X509_REVOKED_set_revocationDate(one, t) ||
            !X509_CRL_add0_revoked(l, one))
            abort();
    }
    if (!X509_CRL_sort(l) || !X509_CRL_sign(l, k, NULL))
        abort();
    ASN1_TIME_free(t);
    ASN1_INTEGER_free(number);
    EVP_PKEY_free(k);
    return l;
}

bool certs_serve(struct site *s, const char *url, struct octets *out)
{
    for (unsigned by = ROOT; by <= MID; by++) {
        if (strcmp(url, urls[by]) != 0)
            continue;
        int64_t until = next_update(s);
        X509_CRL *l = make_crl(s, by, until);
        uint8_t *der = NULL;
        int len = i2d_X509_CRL(l, &der);
        keep(out, der, len);
        X509_CRL_free(l);
        return true;
    }
    return false;
}

void certs_gone(struct site *s)
{
    memset(s->known, 0, sizeof(s->known));
    memset(s->proven, 0, sizeof(s->proven));
}

// ---- judging

int __real_pki_check_standing(const struct pki_check *c, struct pki_standing **out);
int __wrap_pki_check_standing(const struct pki_check *c, struct pki_standing **out);

static int issued_of(const struct certs *c, struct slice der)
{
    for (unsigned i = 0; i < c->count; i++)
        if (der.len == c->issued[i].der.len && !memcmp(der.p, c->issued[i].der.p, der.len))
            return (int)i;
    return -1;
}

// What it was given is for the question of another message, or of the same some milliseconds later.
static bool known_revoked(const struct site *s, int n)
{
    const struct known *k = &s->known[s->w->certs.issued[n].by];
    return k->revoked & 1u << n && s->w->now > k->at + SECOND && certs_wall((void *)s) < k->until;
}

static int64_t time_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static uint32_t said_by(X509_CRL *l)
{
    STACK_OF(X509_REVOKED) *all = X509_CRL_get_REVOKED(l);
    uint32_t bits = 0;
    for (int i = 0; i < sk_X509_REVOKED_num(all); i++)
        bits |= 1u << (ASN1_INTEGER_get(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(all, i))) - 100);
    return bits;
}

// Who has signed this CRL; -1: nobody, or it is none.
static int signer_of(X509_CRL *l)
{
    for (unsigned by = ROOT; by <= MID; by++) {
        EVP_PKEY *k = key_of(by);
        bool is = X509_CRL_verify(l, k) == 1;
        EVP_PKEY_free(k);
        if (is)
            return (int)by;
    }
    return -1;
}

// kept: ike has it now, where there was memory for it or the store has grown.
static void learn(struct site *s, struct slice der, bool kept)
{
    const uint8_t *p = der.p;
    X509_CRL *l = d2i_X509_CRL(NULL, &p, (long)der.len);
    int by = l ? signer_of(l) : -1;
    if (by >= 0) {
        struct known *k = &s->known[by];
        int64_t until = time_of(X509_CRL_get0_nextUpdate(l));
        k->longest = until > k->longest ? until : k->longest;
        if (kept)
            k->revoked = said_by(l), k->at = s->w->now, k->until = until;
    }
    X509_CRL_free(l);
    ERR_clear_error();
}

enum pki_verdict __real_pki_check_fetched(struct pki_check *c, uint32_t id, enum pki_answer how,
                                          const char *text, struct slice body, int64_t now,
                                          struct esp_error *err);
enum pki_verdict __wrap_pki_check_fetched(struct pki_check *c, uint32_t id, enum pki_answer how,
                                          const char *text, struct slice body, int64_t now,
                                          struct esp_error *err);
// What has come counts where a check was there to take it.
enum pki_verdict __wrap_pki_check_fetched(struct pki_check *c, uint32_t id, enum pki_answer how,
                                          const char *text, struct slice body, int64_t now,
                                          struct esp_error *err)
{
    struct site *s = the_site;
    uint64_t before = standing_newest(s->d.ike);
    enum pki_verdict v = __real_pki_check_fetched(c, id, how, text, body, now, err);
    if (how == PKI_ANSWERED)
        learn(s, body, s->w->now >= s->d.scarce_until || standing_newest(s->d.ike) > before);
    return v;
}

// By a CRL that ike was given at some time: another answer, or a clock that is set, may take a minute.
static bool in_force(const struct site *s, unsigned by)
{
    return certs_wall((void *)s) < s->known[by].longest + LATE_S ||
           s->w->now < s->clock_set_at + LATE_S * SECOND;
}

static void check_known(const struct site *s, const struct issued *i, int n)
{
    const struct pair *p = plan_of(s->w, s->index, i->site);
    if (strcmp(p->revocation, "relaxed") != 0 && !(in_force(s, i->by) && in_force(s, ROOT)))
        world_fail(s->w, "proof", "%c takes certificate %d without a CRL in force, where revocation is %s",
                   s->letter, 100 + n, p->revocation);
}

// Whoever takes a peer's certificate asks for this last.
int __wrap_pki_check_standing(const struct pki_check *c, struct pki_standing **out)
{
    struct site *s = the_site;
    const struct certs *all = &the_world->certs;
    int rc = __real_pki_check_standing(c, out), n = issued_of(all, pki_check_cert(c));
    if (n < 0) {
        world_fail(the_world, "proof", "%c takes a certificate that nobody has issued", s->letter);
        return rc;
    }
    const struct issued *i = &all->issued[n];
    TRACE(the_world, 114, n, "%c takes certificate %d of %c", s->letter, 100 + n, 'a' + (int)i->site);
    s->taken++;
    if (i->ends < certs_wall(s))
        world_fail(the_world, "proof", "%c takes certificate %d, which has ended %lld s ago", s->letter,
                   100 + n, (long long)(certs_wall(s) - i->ends));
    check_known(s, i, n);
    if (rc == 0 && *out)
        s->proven[s->provens++ % PROVEN] = (struct proven){.by = *out, .issued = (unsigned)n};
    return rc;
}

// The newest that has this number: what has gone may have left it to another.
static struct proven *proven_by(struct site *s, const void *by)
{
    for (unsigned i = 0; i < PROVEN && by; i++) {
        struct proven *p = &s->proven[(s->provens + PROVEN - 1 - i) % PROVEN];
        if (p->by == by)
            return p;
    }
    return NULL;
}

// What stands by it is over soon after its end, and at once where a CRL that has come revokes it.
static void look_at(void *ctx, const void *proof)
{
    struct site *s = ctx;
    struct world *w = s->w;
    struct proven *p = proven_by(s, proof);
    int64_t past = p ? certs_wall(s) - w->certs.issued[p->issued].ends : 0;
    if (p && known_revoked(s, (int)p->issued))
        world_fail(w, "proof", "%c has an IKE SA that stands by certificate %u, and a CRL that revokes it",
                   s->letter, 100 + p->issued);
    if (past <= 0)
        return;
    if (!p->ended_at)
        p->ended_at = w->now;
    if (w->now - p->ended_at > OVER_S * SECOND)
        world_fail(w, "proof", "%c has an IKE SA that stands by certificate %u, which has ended %lld s ago",
                   s->letter, 100 + p->issued, (long long)past);
}

static void look(struct world *w, void *ctx, uint64_t arg)
{
    (void)ctx, (void)arg;
    for (unsigned k = 0; k < w->sites; k++) {
        struct site *s = &w->site[k];
        if (s->d.life == UP && s->d.ike && w->now > s->d.frozen_until + SECOND)
            standing_each(s->d.ike, look_at, s);
    }
    agenda_add(w, EVERY_US, look, NULL, 0);
}

// ---- acts

static void renewed(struct world *w, void *ctx, uint64_t arg)
{
    struct site *s = ctx;
    (void)arg;
    if (w->certs.count == ISSUED_MAX)
        return;
    issue(s, BASE + 900 * HOUR);
    if (s->d.life == UP)
        operator_order(s, CMD_CERT_END, 0, 0, 0);
}

// Some time after it has ended or was revoked its operator hears of it.
static void act(struct world *w, void *ctx, uint64_t arg)
{
    struct rng *r = &w->certs.dice;
    struct site *s = &w->site[rng_below(r, w->sites)];
    (void)ctx, (void)arg;
    if (w->calm)
        return;
    struct issued *i = &w->certs.issued[w->certs.now[s->index]];
    bool good = !i->revoked && i->ends > certs_wall(s) + HOUR;
    if (!w->fair && good && w->certs.count + 2 * w->sites + 1 < ISSUED_MAX) {
        if (rng_chance(r, 500)) {
            i->revoked = true;
            TRACE(w, 112, s->index, "certificate %u of %c is revoked", 100 + w->certs.now[s->index],
                  s->letter);
        } else { // another one that ends soon, and is the newest
            issue(s, certs_wall(s) + (int64_t)rng_between(r, 20, 120));
            if (s->d.life == UP)
                operator_order(s, CMD_CERT_END, 0, 0, 0);
        }
        agenda_add(w, rng_between(r, 5, 200) * SECOND, renewed, s, 0);
    }
    if (rng_chance(r, 200))
        daemon_kill(s, ROOM_FETCH);
    agenda_add(w, rng_between(r, 10 * SECOND, 90 * SECOND), act, NULL, 0);
}

void certs_start(struct world *w)
{
    if (!w->certs.on)
        return;
    agenda_add(w, EVERY_US, look, NULL, 0);
    if (!w->o.plain)
        agenda_add(w, 30 * SECOND, act, NULL, 0);
}

static void begin_again(struct world *w, const struct site *s)
{
    for (unsigned i = 0; i < w->pairs; i++) {
        if (w->pair[i].a != s->index && w->pair[i].b != s->index)
            continue;
        operator_order(&w->site[w->pair[i].a], CMD_TERMINATE, i, 0, 0);
        operator_order(&w->site[w->pair[i].a], CMD_INITIATE, i, 0, 0);
    }
}

// By the one that is ahead: where they are hours apart, what ends soon for one has ended long ago for
// another.
static void set_clocks(struct world *w)
{
    uint64_t ahead = 0;
    for (unsigned i = 0; i < w->sites; i++) {
        const struct daemon *d = &w->site[i].d;
        ahead = d->offset - d->booted > ahead ? d->offset - d->booted : ahead;
    }
    for (unsigned i = 0; i < w->sites; i++) {
        const struct daemon *d = &w->site[i].d;
        if (d->offset - d->booted < ahead)
            fault_clock(&w->site[i], ahead + d->booted - d->offset);
    }
}

// In some worlds one ends when all is calm, and for long its operator does not hear of it: what was proven by
// it has to end, as there is nothing to prove it by again. The clocks are right by then, and both ends have
// the same plans.
void certs_outlive(struct world *w)
{
    struct rng *r = &w->certs.dice;
    int64_t lasts = (int64_t)rng_between(r, 70, 100);
    if (!w->certs.on || w->o.plain || !rng_chance(r, 400) || w->certs.count == ISSUED_MAX)
        return;
    set_clocks(w);
    settle_plans(w);
    world_run_until(w, w->now + MINUTE);
    struct site *s = &w->site[rng_below(r, w->sites)];
    issue(s, certs_wall(s) + lasts);
    operator_order(s, CMD_CERT_END, 0, 0, 0);
    begin_again(w, s);
    world_run_until(w, w->now + (uint64_t)(lasts + OVER_S + 20) * SECOND);
}

// All have one that is good.
void certs_settle(struct world *w)
{
    for (unsigned i = 0; i < w->sites && w->certs.on; i++)
        renewed(w, &w->site[i], 0);
}
