// SPDX-License-Identifier: Apache-2.0
// Child SAs: from the keys that the keys process sends to two SAs in an engine, and back. An installation
// either carries traffic both ways or leaves nothing behind.
#include "ctrl/path/path.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "ctrl/lib/log.h"

#define NEVER UINT64_MAX

static enum esp_alg alg_of(uint16_t encr, uint16_t bits)
{
    if (encr == TRID_AES128_GCM16)
        return bits == 128   ? ESP_ALG_AES128_GCM16
               : bits == 192 ? ESP_ALG_AES192_GCM16
               : bits == 256 ? ESP_ALG_AES256_GCM16
                             : ESP_ALG_NONE;
    return encr == TRID_CHACHA20_POLY1305 ? ESP_ALG_CHACHA20_POLY1305 : ESP_ALG_NONE;
}

static size_t key_octets(enum esp_alg a)
{
    switch (a) {
#define X(sym, name, key, salt, iv, icv)                                                                     \
    case ESP_ALG_##sym: return key;
        ESP_ALG_LIST(X)
#undef X
    default: return 0;
    }
}

// hash_u64 gives no two numbers of 32 bits the same hash: what is found is it.
struct child *sadb_by_spi(struct path *p, uint32_t spi)
{
    struct hash_node *n = hash_first(&p->by_spi, hash_u64(spi));
    __builtin_prefetch(n);
    return n ? (struct child *)((char *)n - offsetof(struct child, spi_node)) : NULL;
}

struct child *sadb_by_id(struct path *p, uint32_t child_id)
{
    for (struct hash_node *n = hash_first(&p->by_id, hash_u64(child_id)); n; n = hash_next(n)) {
        struct child *c = (struct child *)((char *)n - offsetof(struct child, id_node));
        if (!c->dying)
            return c;
    }
    return NULL;
}

void sadb_set_offload(struct path *p, struct child *c, bool on_card, const char *reason)
{
    (void)p;
    snprintf(c->offload, sizeof(c->offload), "%s", on_card ? "card" : "software");
    snprintf(c->reason, sizeof(c->reason), "%s", reason);
    c->path_since = loop_now(p->loop);
}

static void unlink_child(struct path *p, struct child *c)
{
    idle_stop(p, c);
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    hash_del(&p->by_spi, &c->spi_node);
    hash_del(&p->by_id, &c->id_node);
}

static void free_child(struct path *p, struct child *c)
{
    unlink_child(p, c);
    spd_release(p, c);
    OPENSSL_cleanse(c, sizeof(*c));
    free(c); // still locked: its page may hold another one's keys
}

static bool half_gone(const struct half *h)
{
    return h->state == HALF_NONE || h->state == HALF_FAILED;
}

static void delete_half(struct path *p, struct half *h);

// Its outbound half leaves its engine after its last packet.
void sadb_maybe_free(struct path *p, struct child *c)
{
    if (!c->dying || c->in_flight)
        return;
    delete_half(p, &c->out);
    if (half_gone(&c->out) && half_gone(&c->in))
        free_child(p, c);
}

void sadb_forget_half(struct path *p, struct half *h)
{
    (void)p;
    h->state = HALF_NONE;
    h->sa = NULL;
    h->engine = NULL;
    h->leasing = h->queued = h->spent = h->homeward = false;
}

// Whoever works on a child that its own packets may free holds it meanwhile.
static void hold(struct child *c)
{
    c->in_flight++;
}

static void let_go(struct path *p, struct child *c)
{
    c->in_flight--;
    sadb_maybe_free(p, c);
}

static void drop_waiting(struct half *h)
{
    struct packet *pkt;
    while ((pkt = list_pop(&h->waiting))) {
        h->child->w->waiting--;
        io_drop(h->child->w, pkt, ESP_STATUS_SA_INVALID);
    }
}

static void delete_half(struct path *p, struct half *h)
{
    if (h->queued) {
        sadb_forget_half(p, h);
    } else if (h->state == HALF_READY) {
        (void)h->engine->ops->sa_delete(h->engine,
                                        h->sa); // refused by a failed card: then FAILED comes and ends it
        h->state = HALF_DELETING;
    } else if (h->state == HALF_MOVING) {
        h->state = HALF_DELETING;
    }
    // ADDING: its answer finds the child dying and deletes it then
}

static void begin_delete(struct path *p, struct child *c)
{
    c->dying = true;
    idle_stop(p, c);
    spd_retire(p, c); // a deleted one takes no new packets
    hold(c);
    drop_waiting(&c->in);
    delete_half(p, &c->in);
    io_move_on(c->w, c);
    let_go(p, c);
}

void sadb_delete(struct path *p, uint32_t child_id)
{
    struct child *c;
    while ((c = sadb_by_id(p, child_id)))
        begin_delete(p, c);
}

void sadb_clear(struct path *p)
{
    while (p->children) { // at exit: the engines are destroyed next, which zeroises their side
        struct child *c = p->children;
        hold(c);
        drop_waiting(&c->out);
        drop_waiting(&c->in);
        free_child(p, c);
    }
}

static void report(struct path *p, struct child *c, bool ok, const char *text)
{
    if (c->reported)
        return;
    c->reported = true;
    ipc_result(p->keys, c->keys_req, ok, "%s", text);
}

// One that carried traffic and cannot go on: nothing of it leaves in clear, its packets are dropped until ike
// has another.
void sadb_give_up(struct path *p, struct child *c, const char *why)
{
    if (c->dying) { // its last packets cannot leave
        hold(c);
        drop_waiting(&c->out);
        let_go(p, c);
        return;
    }
    LOGF(ESP, 0, "child %s{%u} cannot go on and is deleted: %s", c->c.name, c->c.child_id, why);
    report(p, c, false, why);
    limit_event(p, c, CHILD_EVENT_HARD_LIMIT);
    begin_delete(p, c);
}

int sadb_add_half(struct path *p, struct half *h, struct esp_engine *e, struct esp_error *err)
{
    if (!e)
        return esp_fail(err, -ENODEV, "engine", "there is none");
    if (h->params.dir == ESP_OUT) {
        if (e == path_card(p)) {
            uint64_t room = h->params.esn ? UINT64_MAX : 1ull << 32;
            h->lease_size = h->lease_size ? h->lease_size : p->env->settings->lease_min;
            h->params.seq_limit = room - h->params.seq > h->lease_size ? h->params.seq + h->lease_size : room;
            h->lease_at = loop_now(p->loop);
        } else {
            h->params.seq_limit = NEVER;
        }
    }
    h->leasing = h->spent = h->moved = false;
    int rc = e->ops->sa_add(e, &h->params, h, &h->sa, err);
    h->queued = rc == -EAGAIN; // its command ring is full: again when it has answered some
    if (h->queued) {
        p->retry = true;
        rc = 0;
    }
    if (rc == 0) {
        h->engine = e;
        h->state = HALF_ADDING;
    }
    return rc;
}

// About a second of the observed rate: a lease that lasts less than a second is doubled, up to 2^22 packets,
// so that the numbers skipped when a card fails stay far below what a peer's window inference bears (RFC 4303
// appendix A).
void sadb_leave(struct path *p, struct half *h, const char *why)
{
    if (h->engine->ops->sa_delete(h->engine, h->sa) < 0)
        return; // a failed card: FAILED comes and moves it
    LOGF(ESP, 1, "child %s{%u}: %s; on in software", h->child->c.name, h->child->c.child_id, why);
    sadb_set_offload(p, h->child, false, why);
    h->state = HALF_MOVING;
}

void sadb_lease_low(struct path *p, struct half *h)
{
    uint64_t now = loop_now(p->loop);
    uint64_t room = h->params.esn ? UINT64_MAX : 1ull << 32;
    if (h->leasing || h->state != HALF_READY || h->engine != path_card(p))
        return;
    if (now - h->lease_at < 1000 && h->lease_size < 1u << 22)
        h->lease_size *= 2;
    uint64_t limit = room - h->params.seq_limit > h->lease_size ? h->params.seq_limit + h->lease_size : room;
    if (limit == h->params.seq_limit) {
        h->spent = true;
        return;
    }
    int rc = h->engine->ops->sa_lease(h->engine, h->sa, limit);
    if (rc == 0) {
        h->leasing = true;
        h->lease_at = now;
        h->params.seq_limit = limit;
    } else if (rc == -EINVAL) {
        sadb_leave(p, h, "the card takes no lease");
    } else {
        p->retry = true; // a card that has failed: FAILED comes first
    }
}

static int continue_in(struct path *p, struct half *h, struct esp_engine *e, struct esp_error *err)
{
    sadb_forget_half(p, h);
    limits_left(h);
    return sadb_add_half(p, h, e, err);
}

void sadb_continue(struct path *p, struct half *h, struct esp_error *err)
{
    if (continue_in(p, h, path_soft(p), err) < 0)
        h->state = HALF_FAILED;
}

static void go_home(struct path *p, struct half *h)
{
    if (h->engine == path_soft(p) && h->engine->ops->sa_delete(h->engine, h->sa) == 0) {
        h->state = HALF_MOVING;
        h->homeward = true;
    }
}

void sadb_return(struct path *p, struct child *c)
{
    struct esp_engine *card = path_card(p);
    struct esp_error why = {0};
    if (!c->card_missing || c->dying || c->in.state != HALF_READY || c->out.state != HALF_READY ||
        card->ops->capable(card, &c->in.params, &why) < 0 ||
        card->ops->capable(card, &c->out.params, &why) < 0)
        return;
    go_home(p, &c->in);
    go_home(p, &c->out);
}

// Software has let go of it. A card that has gone again, or has no room: software it is.
static void arrive_home(struct path *p, struct half *h, struct esp_error *err)
{
    struct esp_engine *card = path_card_failed(p) ? NULL : path_card(p);
    h->homeward = false;
    if (!card || continue_in(p, h, card, err) < 0)
        sadb_continue(p, h, err);
}

static bool is_home(const struct path *p, const struct child *c)
{
    return c->in.state == HALF_READY && c->out.state == HALF_READY && c->in.engine == path_card(p) &&
           c->out.engine == path_card(p);
}

// ---- installation

static bool want_card(struct path *p, const struct child *c, enum offload_mode *mode)
{
    *mode = (enum offload_mode)c->c.hw_offload;
    if (*mode == OFFLOAD_DEFAULT)
        *mode = p->env->settings->offload_default;
    return *mode == OFFLOAD_AUTO || *mode == OFFLOAD_YES || *mode == OFFLOAD_PACKET;
}

// What may be inside: the families of its selectors.
static uint8_t families(struct selectors l)
{
    uint8_t f = 0;
    for (unsigned i = 0; i < l.count; i++)
        f |= l.t[i].family == 6 ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4;
    return f;
}

static void fill_params(const struct path *p, const struct child *c, enum esp_dir dir, struct slice key,
                        struct esp_sa_params *s)
{
    const struct child_facts *m = &c->c;
    const struct addr *from = dir == ESP_OUT ? &m->local : &m->remote,
                      *to = dir == ESP_OUT ? &m->remote : &m->local;
    *s = (struct esp_sa_params){.dir = dir,
                                .mode = m->mode == MODE_TRANSPORT ? ESP_TRANSPORT : ESP_TUNNEL,
                                .alg = alg_of(m->encr, m->encr_bits),
                                .ttl = 64,
                                .spi = dir == ESP_OUT ? m->spi_out : m->spi_in,
                                .esn = m->esn,
                                .udp_encap = m->udp_encap,
                                .ipv6 = m->local.family == 6,
                                .inner = families(policy_local(c->policy)),
                                .df_clear = !m->copy_df,
                                .no_ecn = !m->copy_ecn,
                                .no_dscp_copy = !m->copy_dscp_out,
                                .dscp_decap = m->copy_dscp_in,
                                .window = dir == ESP_IN ? m->replay_window : 0,
                                .seq = dir == ESP_OUT ? 1 : 0,
                                .seq_limit = NEVER,
                                .sport = dir == ESP_OUT ? m->local_port : m->remote_port,
                                .dport = dir == ESP_OUT ? m->remote_port : m->local_port,
                                .soft_bytes = m->rekey_bytes,
                                .hard_bytes = m->life_bytes,
                                .soft_packets = m->rekey_packets,
                                .hard_packets = m->life_packets};
    if (dir == ESP_IN) // it comes to this port in any case, NAT or none (RFC 7296 section 2.23)
        s->dport = p->env->settings->port_nat_t;
    memcpy(s->src, from->a, 16);
    memcpy(s->dst, to->a, 16);
    size_t n = key_octets(s->alg);
    memcpy(s->key, key.p, n);
    memcpy(s->salt, key.p + n, 4);
}

static struct child *new_child(struct path *p, const struct msg_CHILD *m, uint32_t keys_req)
{
    size_t name = strlen(m->name) + 1;
    struct child *c = calloc(1, sizeof(*c) + name);
    if (!c)
        return NULL;
    mlock(c, sizeof(*c)); // as far as RLIMIT_MEMLOCK goes; cores are off in any case
    memcpy(c->name, m->name, name);
    c->c = (struct child_facts){.child_id = m->child_id,
                                .spi_in = m->spi_in,
                                .spi_out = m->spi_out,
                                .replay_window = m->replay_window,
                                .encr = m->encr,
                                .encr_bits = m->encr_bits,
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
                                .local = m->local,
                                .remote = m->remote,
                                .rekey_bytes = m->rekey_bytes,
                                .life_bytes = m->life_bytes,
                                .rekey_packets = m->rekey_packets,
                                .life_packets = m->life_packets,
                                .idle_s = m->idle_s,
                                .name = c->name};
    c->out_after = m->out_after;
    c->keys_req = keys_req;
    c->w = p->worker;
    c->installed_at = loop_now(p->loop);
    list_init(&c->in.waiting);
    list_init(&c->out.waiting);
    c->in.child = c->out.child = c;
    return c;
}

static int link_child(struct path *p, struct child *c)
{
    if (hash_add(&p->by_spi, &c->spi_node, hash_u64(c->c.spi_in)) < 0)
        return -ENOMEM;
    if (hash_add(&p->by_id, &c->id_node, hash_u64(c->c.child_id)) < 0) {
        hash_del(&p->by_spi, &c->spi_node);
        return -ENOMEM;
    }
    c->next = p->children;
    c->at = &p->children;
    if (c->next)
        c->next->at = &c->next;
    p->children = c;
    return 0;
}

static int check(const struct child *c, const struct msg_CHILD_INSTALL *m, struct esp_error *err)
{
    enum esp_alg alg = alg_of(c->c.encr, c->c.encr_bits);
    if (alg == ESP_ALG_NONE)
        return esp_fail(err, -EOPNOTSUPP, "esp_proposals",
                        "encryption algorithm %u with %u key bits is not known here", c->c.encr,
                        c->c.encr_bits);
    if (m->key_in.len != key_octets(alg) + 4 || m->key_out.len != m->key_in.len)
        return esp_fail(err, -EINVAL, "keys", "got %zu and %zu octets of key, expected %zu", m->key_in.len,
                        m->key_out.len, key_octets(alg) + 4);
    if (c->c.local.family != c->c.remote.family || !c->c.local.family)
        return esp_fail(err, -EINVAL, "addresses", "the tunnel's ends are not of one address family");
    if (c->c.replay_window > ESP_MAX_WINDOW)
        return esp_fail(err, -EINVAL, "replay_window", "%u is more than %d", c->c.replay_window,
                        ESP_MAX_WINDOW);
    return 0;
}

// Both directions go to the same engine, unless that has room for one only.
static int add_both(struct path *p, struct child *c, struct esp_engine *e, struct esp_error *err)
{
    int rc;
    if ((rc = e->ops->capable(e, &c->in.params, err)) < 0 ||
        (rc = e->ops->capable(e, &c->out.params, err)) < 0)
        return rc;
    if (c->in.state == HALF_NONE && (rc = sadb_add_half(p, &c->in, e, err)) < 0)
        return rc;
    return sadb_add_half(p, &c->out, e, err);
}

// Why there is no card for a new SA: a failure before its time is told as such.
static void no_card(const struct path_engine *en, char *out, size_t size)
{
    snprintf(out, size, "%s%.180s", en->was_used ? "no card since " : "", en->reason);
}

static int place(struct path *p, struct child *c, struct esp_error *err)
{
    char why[sizeof(c->reason)];
    enum offload_mode mode;
    bool card = want_card(p, c, &mode);
    if (mode == OFFLOAD_CRYPTO)
        return esp_fail(err, -EOPNOTSUPP, "hw_offload",
                        "crypto needs the kernel engine, which this build does not have");
    if (card && path_card(p)) {
        int rc = add_both(p, c, path_card(p), err);
        if (rc == 0) {
            sadb_set_offload(p, c, true, "");
            return 0;
        }
        if (mode != OFFLOAD_AUTO)
            return rc;
        sadb_set_offload(p, c, false, err->text);
        LOGF(ESP, 1, "child %s{%u}: the card refuses %s: %s; in software", c->c.name, c->c.child_id,
             err->field, err->text);
    } else {
        no_card(&p->engines[PATH_CARD], why, sizeof(why));
        if (card && mode != OFFLOAD_AUTO)
            return esp_fail(err, -ENODEV, "hw_offload", "%s is set and %s",
                            mode == OFFLOAD_PACKET ? "packet" : "yes", why);
        sadb_set_offload(p, c, false, card ? why : "hw_offload is no");
    }
    c->card_missing = card && (!path_card(p) || path_card_failed(p));
    return add_both(p, c, path_soft(p), err);
}

void sadb_install(struct path *p, const struct msg_CHILD_INSTALL *m)
{
    struct esp_error err = {0};
    union msg inner;
    if (msg_read(m->child, &inner) != MSG_CHILD) {
        ipc_result(p->keys, m->req, false, "malformed CHILD description");
        return;
    }
    struct child *c = new_child(p, &inner.CHILD, m->req);
    if (!c) {
        ipc_result(p->keys, m->req, false, "out of memory");
        return;
    }
    int rc = check(c, m, &err);
    if (rc == 0 && sadb_by_spi(p, c->c.spi_in))
        rc = esp_fail(&err, -EEXIST, "SPI", "inbound SPI %08x is in use", c->c.spi_in);
    if (rc == 0)
        rc = spd_attach(p, c, &inner.CHILD, &err);
    if (rc == 0 && link_child(p, c) < 0) {
        spd_release(p, c);
        rc = esp_fail(&err, -ENOMEM, "child", "out of memory");
    }
    if (rc < 0) {
        ipc_result(p->keys, m->req, false, "%s: %s", err.field, err.text);
        OPENSSL_cleanse(c, sizeof(*c));
        free(c);
        return;
    }
    fill_params(p, c, ESP_OUT, m->key_out, &c->out.params);
    fill_params(p, c, ESP_IN, m->key_in, &c->in.params);
    spd_serve(p, c);
    if (place(p, c, &err) < 0) {
        char text[300];
        snprintf(text, sizeof(text), "%s: %s", err.field, err.text);
        report(p, c, false, text);
        begin_delete(p, c);
        return;
    }
    debug_keys_write(p, c);
}

// ---- answers of the engines

// It has been deleted meanwhile: outbound for the packets that it had taken.
static void added_to_die(struct path *p, struct half *h)
{
    struct child *c = h->child;
    hold(c);
    if (h == &c->in)
        delete_half(p, h);
    else
        io_flush_waiting(c->w, h);
    let_go(p, c);
}

static void added(struct path *p, struct half *h, struct esp_sa *sa)
{
    struct child *c = h->child;
    h->sa = sa;
    h->state = HALF_READY;
    if (c->dying) {
        added_to_die(p, h);
        return;
    }
    if (c->in.state == HALF_READY && c->out.state == HALF_READY && !c->reported) {
        LOGF(ESP, 1, "child %s{%u}: SPIs %08x_i %08x_o in %s%s%s", c->c.name, c->c.child_id, c->c.spi_in,
             c->c.spi_out, c->offload, c->reason[0] ? ": " : "", c->reason);
        c->installed = true;
        idle_start(p, c);
        report(p, c, true, "");
    }
    if (c->card_missing && is_home(p, c)) {
        c->card_missing = false;
        sadb_set_offload(p, c, true, "");
        LOGF(ESP, 1, "child %s{%u} is back in card %s", c->c.name, c->c.child_id, p->engines[PATH_CARD].name);
    }
    sadb_endpoint_added(p, h);
    if (h->state == HALF_READY)
        io_flush_waiting(c->w, h);
}

// The engine had second thoughts (a full bucket, a field it cannot do): in software where that is allowed,
// otherwise undone.
static void refused(struct path *p, struct half *h, const struct esp_event *ev)
{
    struct child *c = h->child;
    enum offload_mode mode;
    struct esp_error err = ev->error;
    bool was_card = h->engine == path_card(p);
    h->state = HALF_FAILED;
    h->sa = NULL;
    want_card(p, c, &mode);
    if (was_card && (mode == OFFLOAD_AUTO || c->card_missing) && // missing: it was in software before
        (!c->dying || h->waiting.count)) {
        char why[200];
        snprintf(why, sizeof(why), "the card refuses it: %.150s",
                 ev->error.text[0] ? ev->error.text : esp_status_name(ev->status));
        LOGF(ESP, 1, "child %s{%u}: %s; in software", c->c.name, c->c.child_id, why);
        if (sadb_add_half(p, h, path_soft(p), &err) == 0) {
            sadb_set_offload(p, c, false, why);
            return;
        }
    }
    char text[300];
    snprintf(text, sizeof(text), "%s: %s", err.field[0] ? err.field : "engine",
             err.text[0] ? err.text : esp_status_name(ev->status));
    if (c->dying || c->reported) { // it moved: ike believes that it is there
        sadb_give_up(p, c, text);
    } else {
        report(p, c, false, text);
        begin_delete(p, c);
    }
}

static void leased(struct path *p, struct half *h, const struct esp_event *ev)
{
    char why[100];
    h->leasing = false;
    if (h->state != HALF_READY)
        return;
    if (ev->status != ESP_STATUS_OK) {
        snprintf(why, sizeof(why), "the card refuses a lease: %s", esp_status_name(ev->status));
        sadb_leave(p, h, why);
    } else {
        io_flush_waiting(h->child->w, h);
    }
}

// MOVING: it had drained, so the engine knows where the next one starts.
static void deleted(struct path *p, struct half *h, const struct esp_event *ev)
{
    struct child *c = h->child;
    struct esp_error err = {0};
    if (h->state != HALF_MOVING) {
        sadb_forget_half(p, h);
        sadb_maybe_free(p, c);
        return;
    }
    h->params.seq = ev->next.seq;
    if (h->params.dir == ESP_IN)
        memcpy(h->params.seen, ev->next.seen, sizeof(h->params.seen));
    else if (h->last_seq >= h->params.seq)
        h->params.seq = h->last_seq + 1;
    if (h->homeward)
        arrive_home(p, h, &err);
    else
        sadb_continue(p, h, &err);
    if (h->state == HALF_FAILED)
        sadb_give_up(p, c, err.text);
}

static void retry_half(struct path *p, struct half *h)
{
    struct esp_event ev = {.type = ESP_EVENT_SA_REFUSED, .cookie = h, .status = ESP_STATUS_SA_INVALID};
    if (h->queued && sadb_add_half(p, h, h->engine, &ev.error) < 0)
        refused(p, h, &ev);
    else if (h->state == HALF_READY && h->waiting.count)
        sadb_lease_low(p, h);
}

void sadb_retry(struct path *p)
{
    struct child *next;
    if (!p->retry)
        return;
    p->retry = false;
    for (struct child *c = p->children; c; c = next) {
        hold(c);
        retry_half(p, &c->in);
        retry_half(p, &c->out);
        next = c->next;
        let_go(p, c);
    }
}

void sadb_event(struct path *p, struct esp_engine *e, const struct esp_event *ev)
{
    struct half *h = ev->cookie;
    if (e == path_card(p) && path_card_failed(p))
        return; // after FAILED it knows of nothing any more
    switch (ev->type) {
    case ESP_EVENT_SA_ADDED: added(p, h, ev->sa); break;
    case ESP_EVENT_SA_REFUSED: refused(p, h, ev); break;
    case ESP_EVENT_SA_DELETED: deleted(p, h, ev); break;
    case ESP_EVENT_SA_LEASED: leased(p, h, ev); break;
    case ESP_EVENT_SA_STATS: break; // path counts for itself
    case ESP_EVENT_FAILED: card_failed(p, ev); break;
    }
}
