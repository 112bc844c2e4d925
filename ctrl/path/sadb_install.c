// SPDX-License-Identifier: Apache-2.0
// From the keys that the keys process sends to two SAs in an engine. An installation either carries traffic
// both ways or leaves nothing behind.
#include "ctrl/path/sadb.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "ctrl/lib/child_algs.h"
#include "ctrl/lib/log.h"

#define NEVER UINT64_MAX

static struct child_algs algs_of(const struct child_facts *m)
{
    return child_algs(m->encr, m->encr_bits, m->integ);
}

bool sadb_want_card(const struct path *p, const struct child *c, enum offload_mode *mode)
{
    *mode = (enum offload_mode)c->c.hw_offload;
    if (*mode == OFFLOAD_DEFAULT)
        *mode = p->set.offload_default;
    return *mode == OFFLOAD_AUTO || *mode == OFFLOAD_YES || *mode == OFFLOAD_PACKET;
}

bool sadb_must_card(const struct path *p, const struct child *c)
{
    enum offload_mode mode;
    return sadb_want_card(p, c, &mode) && mode != OFFLOAD_AUTO;
}

// What may be inside: the families of its selectors.
static uint8_t families(struct selectors l)
{
    uint8_t f = 0;
    for (unsigned i = 0; i < l.count; i++)
        f |= l.t[i].family == 6 ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4;
    return f;
}

struct esp_endpoint half_ends(const struct half *h)
{
    const struct child *c = h->child;
    bool out = half_dir(h) == ESP_OUT;
    struct esp_endpoint e = {.ipv6 = c->c.local.family == 6,
                             .udp_encap = c->c.udp_encap,
                             .sport = out ? c->c.local_port : c->c.remote_port,
                             // inbound it comes to this port in any case, NAT or none (RFC 7296 section 2.23)
                             .dport = out ? c->c.remote_port : c->w->p->set.port_nat_t};
    memcpy(e.src, out ? c->c.local.a : c->c.remote.a, 16);
    memcpy(e.dst, out ? c->c.remote.a : c->c.local.a, 16);
    return e;
}

void sadb_shape(const struct half *h, struct esp_sa_params *s)
{
    const struct child *c = h->child;
    const struct child_facts *m = &c->c;
    struct child_algs algs = algs_of(m);
    enum esp_dir dir = half_dir(h);
    struct esp_endpoint ends = half_ends(h);
    *s = (struct esp_sa_params){.dir = dir,
                                .mode = m->mode == MODE_TRANSPORT ? ESP_TRANSPORT : ESP_TUNNEL,
                                .protocol = algs.ah ? ESP_PROTOCOL_AH : ESP_PROTOCOL_ESP,
                                .alg = algs.alg,
                                .integ = algs.integ,
                                .ttl = 64,
                                .id_offset = child_id_offset(c),
                                .spi = dir == ESP_OUT ? m->spi_out : m->spi_in,
                                .esn = m->esn,
                                .udp_encap = ends.udp_encap,
                                .ipv6 = ends.ipv6,
                                .inner = c->inner,
                                .df_clear = !m->copy_df,
                                .no_ecn = !m->copy_ecn,
                                .no_dscp_copy = !m->copy_dscp_out,
                                .dscp_decap = m->copy_dscp_in,
                                .tfc = dir == ESP_OUT ? m->tfc_padding : 0,
                                .window = dir == ESP_IN ? m->replay_window : 0,
                                .seq = h->seq,
                                .seq_limit = dir == ESP_OUT ? c->lease.limit : NEVER,
                                .group = kernel_group(h),
                                .sport = ends.sport,
                                .dport = ends.dport};
    limits_left(h, s);
    memcpy(s->src, ends.src, 16);
    memcpy(s->dst, ends.dst, 16);
    if (dir == ESP_IN && h->seq && c->seen) { // otherwise it goes nowhere: it is only asked what could be
        memcpy(s->seen, c->seen, child_seen_octets(c));
        s->seen[0] |= 1;
    }
}

void sadb_params(const struct half *h, struct esp_sa_params *s)
{
    struct child_algs algs = algs_of(&h->child->c);
    const uint8_t *key = child_keymat(h->child, half_dir(h));
    sadb_shape(h, s);
    memcpy(s->key, key, algs.key);
    memcpy(s->salt, key + algs.key, algs.salt);
    memcpy(s->integ_key, key + algs.key + algs.salt, algs.integ_key);
}

int sadb_capable(struct esp_engine *e, const struct half *h, struct esp_error *why)
{
    struct esp_sa_params params;
    sadb_shape(h, &params);
    return e->ops->capable(e, &params, why);
}

static struct child *new_child(struct path *p, const struct msg_CHILD *m,
                               const struct msg_CHILD_INSTALL *with)
{
    size_t name = strlen(m->name) + 1, timers = (m->idle_s ? sizeof(struct child_idle) : 0) +
                                                (m->tfc_dummies ? sizeof(struct child_dummies) : 0);
    size_t size = sizeof(struct child) + timers + with->key_out.len + with->key_in.len + name;
    struct child *c = calloc(1, size);
    if (!c)
        return NULL;
    if (!p->locked)
        mlock(c, size); // as far as RLIMIT_MEMLOCK goes; cores are off in any case
    c->size = (uint32_t)size;
    c->keymat = (uint16_t)with->key_out.len; // if the other one is as long: see check
    c->c.idle_s = m->idle_s;                 // where the keys are
    c->c.tfc_dummies = m->tfc_dummies;       // likewise
    uint8_t *key = child_keymat(c, ESP_OUT);
    if (with->key_out.len)
        memcpy(key, with->key_out.p, with->key_out.len);
    if (with->key_in.len)
        memcpy(key + with->key_out.len, with->key_in.p, with->key_in.len);
    char *called = memcpy(key + with->key_out.len + with->key_in.len, m->name, name);
    c->c = (struct child_facts){.child_id = m->child_id,
                                .spi_in = m->spi_in,
                                .spi_out = m->spi_out,
                                .replay_window = m->replay_window,
                                .encr = m->encr,
                                .encr_bits = m->encr_bits,
                                .integ = m->integ,
                                .local_port = m->local_port,
                                .remote_port = m->remote_port,
                                .mode = m->mode,
                                .esn = m->esn,
                                .udp_encap = m->udp_encap,
                                .hw_offload = m->hw_offload,
                                .copy_df = m->copy_df,
                                .copy_ecn = m->copy_ecn,
                                .copy_dscp_out = m->copy_dscp_out,
                                .copy_dscp_in = m->copy_dscp_in,
                                .tfc_padding = m->tfc_padding,
                                .tfc_dummies = m->tfc_dummies,
                                .fence = m->fence,
                                .local = m->local,
                                .remote = m->remote,
                                .rekey_bytes = m->rekey_bytes,
                                .life_bytes = m->life_bytes,
                                .rekey_packets = m->rekey_packets,
                                .life_packets = m->life_packets,
                                .idle_s = m->idle_s,
                                .name = called};
    struct child_algs algs = algs_of(&c->c);
    c->alg = (uint8_t)algs.alg;
    c->ah = algs.ah;
    c->out_after = m->out_after;
    c->keys_req = with->req;
    c->w = hand_owner(p, c);
    c->installed_at = loop_now(p->loop);
    c->in.child = c->out.child = c;
    c->out.seq = 1;
    c->lease.limit = NEVER;
    return c;
}

static int link_child(struct path *p, struct child *c)
{
    if (hash_put(&p->by_spi, &c->spi_node, hash_u64(c->c.spi_in)) < 0)
        return -ENOMEM;
    if (hash_put(&p->by_id, &c->id_node, hash_u64(c->c.child_id)) < 0) {
        hash_take(&p->by_spi, &c->spi_node);
        return -ENOMEM;
    }
    c->next = p->children;
    c->at = &p->children;
    if (c->next)
        c->next->at = &c->next;
    p->children = c;
    vti_child_comes(p, c);
    p->of_mode[c->c.hw_offload]++;
    return 0;
}

static int check(const struct child *c, const struct msg_CHILD_INSTALL *m, struct esp_error *err)
{
    size_t want = child_algs_keymat(algs_of(&c->c));
    if (c->c.hw_offload > OFFLOAD_PACKET)
        return esp_fail(err, -EINVAL, "hw_offload", "%u is no mode", c->c.hw_offload);
    if (!want)
        return esp_fail(
            err, -EOPNOTSUPP, "esp_proposals",
            "encryption algorithm %u with %u key bits and integrity algorithm %u is not known here",
            c->c.encr, c->c.encr_bits, c->c.integ);
    if (m->key_in.len != want || m->key_out.len != want)
        return esp_fail(err, -EINVAL, "keys", "got %zu and %zu octets of key, expected %zu", m->key_in.len,
                        m->key_out.len, want);
    if (c->c.local.family != c->c.remote.family || !c->c.local.family)
        return esp_fail(err, -EINVAL, "addresses", "the tunnel's ends are not of one address family");
    if (c->c.tfc_dummies > TFC_DUMMIES_MAX || (c->c.tfc_dummies && !c->c.tfc_padding))
        return esp_fail(err, -EINVAL, "tfc_dummies", "%u a second: 0 to %d, and with tfc_padding alone",
                        c->c.tfc_dummies, TFC_DUMMIES_MAX);
    if (c->c.replay_window > ESP_MAX_WINDOW)
        return esp_fail(err, -EINVAL, "replay_window", "%u is more than %d", c->c.replay_window,
                        ESP_MAX_WINDOW);
    return 0;
}

// Both directions go to the same engine, unless that has room for one only.
static int add_both(struct path *p, struct child *c, struct esp_engine *e, struct esp_error *err)
{
    int rc;
    if ((rc = sadb_capable(e, &c->in, err)) < 0 || (rc = sadb_capable(e, &c->out, err)) < 0)
        return rc;
    if (c->in.state == HALF_NONE && (rc = sadb_add_half(p, &c->in, e, err)) < 0)
        return rc;
    return sadb_add_half(p, &c->out, e, err);
}

static int add_to_card(struct path *p, struct child *c, enum offload_mode mode, struct esp_error *err)
{
    if (mode == OFFLOAD_AUTO && card_keeps_last(p))
        return esp_fail(err, -ENOSPC, path_card(p)->name, "%s", CARD_KEEPS_LAST);
    return add_both(p, c, path_card(p), err);
}

// Why there is no card for a new SA: a failure before its time is told as such.
static void no_card(const struct path_engine *en, char *out, size_t size)
{
    snprintf(out, size, "%s%.180s", en->was_used ? "no card since " : "", en->reason);
}

// By the kernel, where that is wanted and no half of it is in a card; of the card that is said which is why
// it is not there.
static int place_here(struct path *p, struct child *c, bool want_card, struct esp_error *err)
{
    char why[200] = "";
    bool kernel = c->in.state == HALF_NONE && kernel_esp_takes(p, c, why, sizeof(why));
    if (!want_card && (kernel || why[0]))
        sadb_set_offload(p, c, false, why);
    if (kernel)
        return kernel_esp_add(p, c, err);
    c->card_missing = want_card && (!path_card(p) || path_card_failed(p));
    return add_both(p, c, path_soft(p), err);
}

static int place(struct path *p, struct child *c, struct esp_error *err)
{
    char why[200];
    enum offload_mode mode;
    bool card = sadb_want_card(p, c, &mode);
    if (mode == OFFLOAD_CRYPTO)
        return esp_fail(err, -EOPNOTSUPP, "hw_offload",
                        "crypto needs a network device that does it, and espalierd uses none");
    if (card && path_card(p)) {
        int rc = add_to_card(p, c, mode, err);
        if (rc == 0) {
            sadb_set_offload(p, c, true, "");
            return 0;
        }
        if (mode != OFFLOAD_AUTO)
            return rc;
        sadb_set_offload(p, c, false, err->text);
        LOGF_SA(1, c, "child %s{%u}: the card refuses %s: %s; in software", c->c.name, c->c.child_id,
                err->field, err->text);
    } else {
        no_card(&p->engines[PATH_CARD], why, sizeof(why));
        if (card && mode != OFFLOAD_AUTO)
            return esp_fail(err, -ENODEV, "hw_offload", "%s is set and %s",
                            mode == OFFLOAD_PACKET ? "packet" : "yes", why);
        sadb_set_offload(p, c, false, card ? why : "hw_offload is no");
    }
    return place_here(p, c, card, err);
}

void sadb_install(struct path *p, const struct msg_CHILD_INSTALL *m)
{
    struct esp_error err = {0};
    union msg inner;
    if (msg_read(m->child, &inner) != MSG_CHILD) {
        ipc_result(p->keys, m->req, false, "malformed CHILD description");
        return;
    }
    struct child *c = new_child(p, &inner.CHILD, m);
    if (!c) {
        ipc_result(p->keys, m->req, false, "out of memory");
        return;
    }
    int rc = check(c, m, &err);
    if (rc == 0 && sadb_by_spi(p, c->c.spi_in))
        rc = esp_fail(&err, -EEXIST, "SPI", "inbound SPI %08x is in use", c->c.spi_in);
    if (rc == 0 && sadb_by_id(p, c->c.child_id))
        rc = esp_fail(&err, -EEXIST, "child", "number %u is in use", c->c.child_id);
    if (rc == 0)
        rc = spd_attach(p, c, &inner.CHILD, &err);
    if (rc == 0 && link_child(p, c) < 0) {
        spd_release(p, c);
        rc = esp_fail(&err, -ENOMEM, "child", "out of memory");
    }
    if (rc != 0) {
        ipc_result(p->keys, m->req, false, "%s: %s", err.field, err.text);
        OPENSSL_cleanse(c, c->size);
        free(c);
        return;
    }
    c->inner = families(policy_local(c->policy));
    spd_serve(p, c);
    survivors_make_way(p, c); // behind that: the last SA of an instance takes it out of the classifier
    if (place(p, c, &err) < 0) {
        char text[300];
        snprintf(text, sizeof(text), "%s: %s", err.field, err.text);
        sadb_report(p, c, false, text);
        sadb_begin_delete(p, c);
        return;
    }
    early_found(p, c->c.spi_in);
    trapped_found(p);
    debug_keys_write(p, c);
}
