// SPDX-License-Identifier: Apache-2.0
// SAs on the card: slots and generations, SA blobs in locked memory that are wiped when the command's
// completion arrives, the SA command ring, and what another engine needs to take an SA over. RFC 4301
// section 4.4.2, RFC 4303.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "driver/card/card.h"
#include "driver/common/bytes.h"
#include "driver/common/params.h"

int card_slots_create(struct card *c)
{
    for (int d = 0; d < 2; d++) {
        struct slots *s = &c->slots[d];
        s->sa = calloc(c->slots_per_dir, sizeof(struct esp_sa *));
        s->generation = calloc(c->slots_per_dir, sizeof(*s->generation));
        s->free_ring = calloc(c->slots_per_dir, sizeof(*s->free_ring));
        if (!s->sa || !s->generation || !s->free_ring)
            return -ENOMEM;
        for (uint32_t i = 0; i < c->slots_per_dir; i++)
            s->free_ring[i] = i;
        s->count = c->slots_per_dir;
    }
    return 0;
}

void card_slots_destroy(struct card *c)
{
    for (int d = 0; d < 2; d++) {
        free(c->slots[d].sa);
        free(c->slots[d].generation);
        free(c->slots[d].free_ring);
    }
}

// What both this driver and the card can do.
void card_capabilities(struct esp_engine *e, struct esp_capabilities *caps)
{
    const struct card *c = card_of(e);
    uint32_t f = c->features;

    *caps = (struct esp_capabilities){.flags = ESP_CAP_LOOKASIDE,
                                      .protocols = 1u << ESP_PROTOCOL_ESP,
                                      .modes = 1u << ESP_TUNNEL,
                                      .outer = ESP_FAMILY_IPV4,
                                      .inner = ESP_FAMILY_IPV4,
                                      .integs = 1u << ESP_INTEG_NONE,
                                      .sas = c->slots_per_dir,
                                      .max_packet = c->max_len,
                                      .queues = 1};
    if (f & ESPC_FEATURES_OFFERED_TRANSPORT_MASK)
        caps->modes |= 1u << ESP_TRANSPORT;
    if (f & ESPC_FEATURES_OFFERED_AES128_GCM16_MASK)
        caps->algs |= 1u << ESP_ALG_AES128_GCM16;
    if (f & ESPC_FEATURES_OFFERED_AES256_GCM16_MASK)
        caps->algs |= 1u << ESP_ALG_AES256_GCM16;
    if (f & ESPC_FEATURES_OFFERED_UDP_ENCAP_MASK)
        caps->flags |= ESP_CAP_UDP_ENCAP;
    if (f & ESPC_FEATURES_OFFERED_ENDPOINT_MASK)
        caps->flags |= ESP_CAP_ENDPOINT;
    if (f & ESPC_FEATURES_OFFERED_ESN_MASK)
        caps->flags |= ESP_CAP_ESN;
    if (f & ESPC_FEATURES_OFFERED_REPLAY_MASK)
        caps->window_max = ESP_MAX_WINDOW;
}

// Behind a NAT the payload's checksum has to be made anew (RFC 3948 section 3.1.2): the card, through which a
// packet passes once, has the payload's end only when its beginning has left.
static int transport_check(bool transport, bool udp_encap, struct esp_error *why)
{
    if (transport && udp_encap)
        return esp_fail(why, -EOPNOTSUPP, "udp_encap", "the card has no transport mode in UDP");
    return 0;
}

static int feature_check(struct esp_engine *e, const struct esp_sa_params *p, struct esp_error *why)
{
    struct esp_capabilities caps;

    card_capabilities(e, &caps);
    return transport_check(p->mode == ESP_TRANSPORT, p->udp_encap, why)
               ? -EOPNOTSUPP
               : caps_check(&caps, "the card", p, why);
}

int card_capable(struct esp_engine *e, const struct esp_sa_params *p, struct esp_error *why)
{
    if (params_check(p, why))
        return why ? (why->code = -EOPNOTSUPP) : -EOPNOTSUPP;
    return feature_check(e, p, why);
}

static uint32_t blob_flags(const struct esp_sa_params *p)
{
    return (p->esn ? ESPC_SA_BLOB_FLAGS_ESN_MASK : 0) |
           (p->udp_encap ? ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK : 0) |
           (p->df_clear ? ESPC_SA_BLOB_FLAGS_DF_CLEAR_MASK : 0) |
           (p->no_dscp_copy ? ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_MASK : 0) |
           (p->no_ecn ? ESPC_SA_BLOB_FLAGS_NO_ECN_MASK : 0) |
           (p->dscp_decap ? ESPC_SA_BLOB_FLAGS_DSCP_DECAP_MASK : 0);
}

#define AT(field) (blob + offsetof(struct espc_sa_blob, field))
static void write_blob(uint8_t *blob, const struct esp_sa_params *p, uint64_t deadline)
{
    memset(blob, 0, BLOB_BYTES);
    put_le32(AT(spi), p->spi);
    put_le32(AT(flags), blob_flags(p));
    put_le32(AT(alg), p->alg == ESP_ALG_AES128_GCM16 ? ESPC_SA_ALG_AES128_GCM16 : ESPC_SA_ALG_AES256_GCM16);
    put_le32(AT(integ), ESPC_SA_INTEG_NONE);
    *AT(outer) = ESPC_FAMILY_IPV4;
    if (p->mode == ESP_TUNNEL) { // otherwise both are zero
        *AT(mode) = ESPC_SA_MODE_TUNNEL;
        *AT(inner) = ESPC_FAMILY_IPV4;
    }
    memcpy(AT(key), p->key, alg_key_octets(p->alg));
    memcpy(AT(salt), p->salt, sizeof(p->salt));
    memcpy(AT(src), p->src, 4);
    memcpy(AT(dst), p->dst, 4);
    put_le16(AT(sport), p->sport);
    put_le16(AT(dport), p->dir == ESP_IN ? inbound_dport(p->dport) : p->dport);
    put_le64(AT(seq), p->seq);
    put_le64(AT(soft_bytes), p->soft_bytes);
    put_le64(AT(hard_bytes), p->hard_bytes);
    put_le64(AT(soft_packets), p->soft_packets);
    put_le64(AT(hard_packets), p->hard_packets);
    if (p->dir == ESP_OUT) {
        *AT(ttl) = p->ttl;
        put_le64(AT(seq_limit), p->seq_limit);
        put_le64(AT(deadline), deadline);
        put_le16(AT(id_offset), p->id_offset);
        return;
    }
    put_le32(AT(window), p->window);
    for (int i = 0; i < 16; i++)
        put_le64(AT(seen) + 8 * i, p->seen[i] | (i == 0 && p->seq > 0));
}

static void write_ends(uint8_t *blob, const struct esp_endpoint *e, enum esp_dir dir)
{
    memset(blob, 0, BLOB_BYTES);
    put_le32(AT(flags), e->udp_encap ? ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK : 0);
    *AT(outer) = ESPC_FAMILY_IPV4;
    memcpy(AT(src), e->src, 4);
    memcpy(AT(dst), e->dst, 4);
    put_le16(AT(sport), e->sport);
    put_le16(AT(dport), dir == ESP_IN ? inbound_dport(e->dport) : e->dport);
}
#undef AT

static struct request *request_new(struct esp_sa *sa, uint8_t op)
{
    struct request *r = calloc(1, sizeof(*r));

    if (r)
        r->node = event_node_new();
    if (!r || !r->node) {
        free(r);
        return NULL;
    }
    r->op = op;
    r->sa = sa;
    return r;
}

static void request_free(struct request *r)
{
    if (r)
        free(r->node);
    free(r);
}

static struct esp_sa *sa_create(struct card *c, const struct esp_sa_params *p, void *cookie)
{
    struct slots *s = &c->slots[p->dir];
    struct esp_sa *sa = calloc(1, sizeof(*sa));

    if (sa)
        sa->deletion = request_new(sa, ESPC_SA_OP_DELETE);
    if (!sa || !sa->deletion) {
        free(sa);
        return NULL;
    }
    sa->slot = s->free_ring[s->head];
    s->head = (s->head + 1) % c->slots_per_dir;
    s->count--;
    s->sa[sa->slot] = sa;
    sa->card = c;
    sa->dir = p->dir;
    sa->generation = ++s->generation[sa->slot];
    sa->esn = p->esn;
    sa->transport = p->mode == ESP_TRANSPORT;
    sa->replay_check = p->window > 0;
    sa->seq_limit = p->seq_limit;
    sa->last_seq = p->seq - 1;
    sa->cookie = cookie;
    window_init(&sa->shadow, sa->shadow_bits, ESP_MAX_WINDOW, p->esn, p->dir == ESP_IN ? p->seq : 0, p->seen);
    sa->next = c->all;
    if (c->all)
        c->all->prev = sa;
    c->all = sa;
    return sa;
}

void card_sa_free(struct card *c, struct esp_sa *sa)
{
    struct slots *s = &c->slots[sa->dir];

    if (sa->prev)
        sa->prev->next = sa->next;
    else
        c->all = sa->next;
    if (sa->next)
        sa->next->prev = sa->prev;
    s->sa[sa->slot] = NULL;
    s->free_ring[(s->head + s->count++) % c->slots_per_dir] = sa->slot;
    free(sa->farewell);
    request_free(sa->deletion);
    free(sa);
}

// By the card's clock as it was last read: what has passed since makes it the earlier, never the later.
static uint64_t deadline(struct card *c)
{
    return c->deadline ? atomic_load(&c->clock) + c->deadline : 0;
}

// Writes one command. The blob of ADD is in place already: its index is that of the entry pushed here.
static void post(struct card *c, struct request *r)
{
    struct queue *q = &c->queue[0];
    uint32_t i = q->next & (q->size - 1);
    uint64_t cookie = queue_cookie(q);
    uint8_t *s = queue_submission(q);

    s[offsetof(struct espc_sa_command, op)] = r->op;
    s[offsetof(struct espc_sa_command, dir)] = (uint8_t)r->sa->dir;
    put_le16(s + offsetof(struct espc_sa_command, generation), r->sa->generation);
    put_le32(s + offsetof(struct espc_sa_command, sa_index), r->sa->slot);
    put_le64(s + offsetof(struct espc_sa_command, cookie), cookie);
    if (r->op == ESPC_SA_OP_ENDPOINT)
        write_ends(c->blobs + (size_t)i * BLOB_BYTES, &r->to, r->sa->dir);
    if (r->op == ESPC_SA_OP_ADD || r->op == ESPC_SA_OP_ENDPOINT)
        put_le64(s + offsetof(struct espc_sa_command, blob_iova), c->blobs_iova + (uint64_t)i * BLOB_BYTES);
    put_le64(s + offsetof(struct espc_sa_command, result_iova), c->results_iova + (uint64_t)i * RESULT_BYTES);
    put_le64(s + offsetof(struct espc_sa_command, seq_limit), r->renewal ? r->sa->seq_limit : r->seq_limit);
    if (r->op == ESPC_SA_OP_LEASE)
        put_le64(s + offsetof(struct espc_sa_command, deadline), deadline(c));
    memset(c->results + (size_t)i * RESULT_BYTES, 0, RESULT_BYTES);
    queue_push(c, q, r, ENTRY_POSTED);
}

int card_sa_add(struct esp_engine *e, const struct esp_sa_params *p, void *cookie, struct esp_sa **out,
                struct esp_error *err)
{
    struct card *c = card_of(e);
    struct queue *q = &c->queue[0];
    struct request *r;
    int rc = params_check(p, err);

    *out = NULL;
    if (!rc)
        rc = feature_check(e, p, err);
    if (rc)
        return rc;
    if (card_failed(c))
        return esp_fail(err, -ENODEV, e->name, "the card has failed");
    if (c->slots[p->dir].count == 0)
        return esp_fail(err, -ENOSPC, e->name, "all %u SA slots of this direction are in use",
                        c->slots_per_dir);
    card_commands_flush(c);
    if (queue_room(q) == 0)
        return esp_fail(err, -EAGAIN, e->name, "the SA command ring is full; take the events first");
    r = request_new(NULL, ESPC_SA_OP_ADD);
    if (r)
        r->sa = sa_create(c, p, cookie);
    if (!r || !r->sa) {
        request_free(r);
        return esp_fail(err, -ENOMEM, e->name, "out of memory");
    }
    write_blob(c->blobs + (size_t)(q->next & (q->size - 1)) * BLOB_BYTES, p, deadline(c));
    post(c, r);
    queue_ring(c, q);
    *out = r->sa;
    return 0;
}

static void enqueue(struct card *c, struct request *r)
{
    *c->requests_last = r;
    c->requests_last = &r->next;
}

static int ask(struct esp_engine *e, struct esp_sa *sa, uint8_t op, uint64_t seq_limit)
{
    struct card *c = card_of(e);
    struct request *r;

    if (!sa || sa->card != c || sa->state != SA_VALID)
        return -EINVAL;
    if (card_failed(c))
        return -ENODEV;
    r = op == ESPC_SA_OP_DELETE ? sa->deletion : request_new(sa, op);
    if (!r)
        return -ENOMEM;
    r->seq_limit = seq_limit;
    if (op == ESPC_SA_OP_DELETE) {
        sa->deletion = NULL;
        sa->state = SA_DELETING;
    }
    if (op == ESPC_SA_OP_LEASE) // from now on the card may use it: a hand-over starts behind it
        sa->seq_limit = seq_limit;
    enqueue(c, r);
    card_commands_flush(c);
    return 0;
}

// Four times in each term, so that one or two that come late or find no memory do no harm.
void card_renew(struct card *c)
{
    uint64_t now = atomic_load(&c->clock);

    if (!c->deadline || now - c->renewed < c->deadline / 4)
        return;
    c->renewed = now;
    for (struct esp_sa *sa = c->all; sa; sa = sa->next) {
        struct request *r =
            sa->dir == ESP_OUT && sa->state == SA_VALID ? request_new(sa, ESPC_SA_OP_LEASE) : NULL;
        if (r) {
            r->renewal = true;
            enqueue(c, r);
        }
    }
    card_commands_flush(c);
}

int card_sa_delete(struct esp_engine *e, struct esp_sa *sa)
{
    return ask(e, sa, ESPC_SA_OP_DELETE, 0);
}

int card_sa_query(struct esp_engine *e, struct esp_sa *sa)
{
    return ask(e, sa, ESPC_SA_OP_QUERY, 0);
}

int card_sa_lease(struct esp_engine *e, struct esp_sa *sa, uint64_t seq_limit)
{
    if (!sa || sa->dir != ESP_OUT || seq_limit <= sa->seq_limit)
        return -EINVAL;
    return ask(e, sa, ESPC_SA_OP_LEASE, seq_limit);
}

// The command is optional (feature ENDPOINT). Jobs that the card takes before it keep the old ends.
int card_sa_endpoint(struct esp_engine *e, struct esp_sa *sa, const struct esp_endpoint *to,
                     struct esp_error *why)
{
    struct card *c = card_of(e);
    struct request *r;

    if (!sa || sa->card != card_of(e) || sa->state != SA_VALID)
        return esp_fail(why, -EINVAL, "sa", "there is no such SA any more");
    if (!(c->features & ESPC_FEATURES_OFFERED_ENDPOINT_MASK))
        return esp_fail(why, -EOPNOTSUPP, "endpoint", "the card cannot change an SA's addresses in place");
    if (to->ipv6)
        return esp_fail(why, -EOPNOTSUPP, "ipv6", "the card has no IPv6 outside");
    if (transport_check(sa->transport, to->udp_encap, why))
        return -EOPNOTSUPP;
    if (to->udp_encap && (to->dport == 0 || (sa->dir == ESP_OUT && to->sport == 0)))
        return esp_fail(why, -EINVAL, "dport", "ports are needed for UDP encapsulation");
    if (card_failed(c)) // FAILED comes, and the SA goes on from there with the new ends
        return 0;
    r = request_new(sa, ESPC_SA_OP_ENDPOINT);
    if (!r)
        return esp_fail(why, -ENOMEM, "endpoint", "out of memory");
    r->to = *to;
    enqueue(c, r);
    card_commands_flush(c);
    return 0;
}

// DELETE waits for the SA's own jobs, so that an orderly end loses none; everything else goes in order as
// there is room.
void card_commands_flush(struct card *c)
{
    struct request **at = &c->requests;

    while (*at && !card_failed(c) && queue_room(&c->queue[0])) {
        struct request *r = *at;

        if (r->op == ESPC_SA_OP_DELETE && r->sa->outstanding) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        if (c->requests_last == &r->next)
            c->requests_last = at;
        r->next = NULL;
        post(c, r);
    }
    queue_ring(c, &c->queue[0]);
}

static const char *field_at(uint32_t offset)
{
#define X(name, at, bytes)                                                                                   \
    if (offset - (at) < (bytes))                                                                             \
        return #name;
    ESPC_SA_BLOB_FIELDS(X)
#undef X
    return "blob";
}

static void read_stats(const uint8_t *result, struct esp_sa_stats *st)
{
    st->last_seq = get_le64(result + offsetof(struct espc_sa_result, last_seq));
    st->packets = get_le64(result + offsetof(struct espc_sa_result, packets));
    st->bytes = get_le64(result + offsetof(struct espc_sa_result, bytes));
    st->drops = get_le64(result + offsetof(struct espc_sa_result, drops));
}

static void refuse_add(struct card *c, struct request *r, enum esp_status status, const uint8_t *result)
{
    struct esp_event *ev = r->node->ev;
    uint32_t offset = get_le32(result + offsetof(struct espc_sa_result, refused_offset));

    ev->type = ESP_EVENT_SA_REFUSED;
    ev->sa = NULL;
    if (status == ESP_STATUS_BAD_FIELD)
        esp_fail(&ev->error, -EINVAL, field_at(offset), "the card refuses this field of the SA");
    else
        esp_fail(&ev->error, -EIO, "sa", "the card refuses the SA: %s", esp_status_name(status));
    card_sa_free(c, r->sa);
}

// Its number of last use is checked as any other word of the card's: neither behind what it has shown nor
// outside its lease.
static bool check_farewell(struct card *c, const struct request *r)
{
    uint64_t last = r->node->ev->stats.last_seq;

    if (r->sa->dir == ESP_IN || (last >= r->sa->last_seq && last < r->sa->seq_limit))
        return true;
    card_fail(
        c,
        "nonsense in the answer to DELETE: last sequence number %llu, %llu was seen, the lease ends at %llu",
        (unsigned long long)last, (unsigned long long)r->sa->last_seq, (unsigned long long)r->sa->seq_limit);
    return false;
}

static void held_farewell(struct card *c, struct request *r)
{
    struct esp_sa *sa = r->sa;

    sa->state = SA_DELETED;
    for (unsigned i = 1; i <= c->queues; i++)
        sa->mark[i] = c->queue[i].next;
    sa->farewell = r->node;
    c->deleted++;
}

static enum esp_event_type event_of(uint8_t op)
{
    switch (op) {
    case ESPC_SA_OP_ADD: return ESP_EVENT_SA_ADDED;
    case ESPC_SA_OP_ENDPOINT: // told only where it is refused
    case ESPC_SA_OP_LEASE: return ESP_EVENT_SA_LEASED;
    case ESPC_SA_OP_DELETE: return ESP_EVENT_SA_DELETED;
    default: return ESP_EVENT_SA_STATS;
    }
}

static void answer(struct card *c, struct request *r, enum esp_status status, const uint8_t *result)
{
    struct esp_event *ev = r->node->ev;

    ev->type = event_of(r->op);
    ev->sa = r->sa;
    ev->cookie = r->sa->cookie;
    ev->status = status;
    read_stats(result, &ev->stats);
    if ((r->renewal || r->op == ESPC_SA_OP_ENDPOINT) && (!status || r->sa->state != SA_VALID)) {
        free(r->node);
        free(r);
        return;
    }
    if (r->op == ESPC_SA_OP_ADD && status) {
        refuse_add(c, r, status, result);
    } else if (r->op == ESPC_SA_OP_DELETE) {
        if (check_farewell(c, r))
            held_farewell(c, r);
        else
            free(r->node);
        free(r);
        return;
    } else if (r->op == ESPC_SA_OP_ADD) {
        r->sa->state = SA_VALID;
    }
    event_queue_push(&c->events, r->node);
    free(r);
}

// The command's key material has done its duty, refused or not.
static void wipe(struct card *c, uint32_t i, uint8_t result[RESULT_BYTES])
{
    memcpy(result, c->results + (size_t)i * RESULT_BYTES, RESULT_BYTES);
    OPENSSL_cleanse(c->blobs + (size_t)i * BLOB_BYTES, BLOB_BYTES);
}

static bool farewell_due(const struct card *c, const struct esp_sa *sa)
{
    for (unsigned i = 1; i <= c->queues; i++)
        if ((int32_t)(c->queue[i].oldest - sa->mark[i]) < 0)
            return false;
    return true;
}

static void send_farewells(struct card *c)
{
    for (struct esp_sa *sa = c->all; sa && c->deleted; sa = sa->next) {
        if (sa->state == SA_DELETED && sa->farewell && farewell_due(c, sa)) {
            struct esp_event *ev = sa->farewell->ev;
            ev->next.seq = sa->dir == ESP_OUT ? ev->stats.last_seq + 1 : sa->shadow.top;
            if (sa->dir == ESP_IN) // only now has poll returned them all
                window_export(&sa->shadow, ev->next.seen);
            event_queue_push(&c->events, sa->farewell);
            sa->farewell = NULL;
            c->deleted--;
        }
    }
}

void card_commands_complete(struct card *c)
{
    struct queue *q = &c->queue[0];
    uint8_t result[RESULT_BYTES];
    struct completion done;

    while (!card_failed(c) && queue_fetch(c, q, &done) > 0) {
        uint32_t i = done.entry & (q->size - 1);
        struct request *r = q->entry[i].owner;
        bool known = strcmp(esp_status_name((enum esp_status)done.status), "UNKNOWN") != 0;

        wipe(c, i, result);
        if (!known || (done.status && (r->op == ESPC_SA_OP_DELETE || r->op == ESPC_SA_OP_QUERY))) {
            card_fail(c, "SA command %u ended with status %u", r->op, done.status);
            return;
        }
        queue_release(q, done.entry);
        answer(c, r, (enum esp_status)done.status, result);
    }
    if (card_failed(c))
        return; // FAILED is the last event: SAs that were being deleted end with the engine
    card_commands_flush(c);
    send_farewells(c);
}

// Only after a failure that ended in silence: the card may have used any number of its lease, so the next
// owner starts at its end; inbound, what poll has returned is what anyone has seen.
int card_sa_handover(struct esp_engine *e, struct esp_sa *sa, struct esp_sa_params *p)
{
    struct card *c = card_of(e);

    if (!sa || sa->card != c || !card_dead(c) || c->failed_node || p->dir != sa->dir)
        return -EINVAL;
    if (sa->dir == ESP_OUT) {
        if (!c->silent || sa->seq_limit == UINT64_MAX)
            return -EINVAL;
        p->seq = sa->seq_limit;
        return 0;
    }
    p->seq = sa->shadow.top;
    window_export(&sa->shadow, p->seen);
    return 0;
}
