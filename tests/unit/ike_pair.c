// SPDX-License-Identifier: Apache-2.0
// The two daemons of ike_pair.h put together: socket pairs between the rooms, a fake path and ctl at their
// other ends.
#include "tests/unit/ike_pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <cmocka.h>

uint64_t pair_clock;
static uint32_t next_req = 1000;

static uint64_t virtual_now(void *ctx)
{
    (void)ctx;
    return pair_clock * 1000;
}

static const char *const ADDRS[2] = {"10.0.0.1", "10.0.0.2"};

// --- the network ---

static void net_send(void *ctx, const struct net_path *path, struct slice d, bool marker)
{
    struct side *from = ctx;
    struct pair *p = from->pair;
    struct datagram *g = calloc(1, sizeof(*g) + d.len), **end = &p->queue;
    if (!g)
        return; // of a test that takes memory away: lost
    g->to = 1 - from->index;
    g->path = *path;
    g->path.local = path->remote;
    g->path.local_port = path->remote_port;
    g->path.remote = path->local;
    g->path.remote_port = path->local_port;
    if (p->nat && g->to == 1) {
        addr_parse(p->nat_address, &g->path.remote);
        g->path.remote_port = (uint16_t)(path->local_port + p->nat_shift);
    } else if (p->nat) {
        addr_parse(ADDRS[0], &g->path.local);
        g->path.local_port = (uint16_t)(path->remote_port - p->nat_shift);
    }
    g->len = d.len;
    memcpy(g->data, d.p, d.len);
    p->activity++;
    if (!marker) { // a keepalive
        free(g);
        return;
    }
    while (*end)
        end = &(*end)->next;
    *end = g;
}

static bool net_source_for(void *ctx, const struct addr *remote, struct addr *local)
{
    const struct side *s = ctx;
    (void)remote;
    if (s->no_way)
        return false;
    if (!s->source.family)
        return addr_parse(ADDRS[s->index], local);
    *local = s->source;
    return true;
}

static void deliver(struct pair *p)
{
    while (p->queue) {
        struct datagram *g = p->queue;
        p->queue = g->next;
        int copies = p->filter ? p->filter(p, p->sent, g) : 1;
        p->sent++;
        p->activity++;
        if (copies < 0) {
            g->next = p->late;
            p->late = g;
            continue;
        }
        for (int i = 0; i < copies; i++)
            ike_receive(p->s[g->to].ike, &g->path, slice_of(g->data, g->len));
        free(g);
    }
}

static void deliver_late(struct pair *p)
{
    while (p->late) {
        struct datagram *g = p->late;
        p->late = g->next;
        ike_receive(p->s[g->to].ike, &g->path, slice_of(g->data, g->len));
        free(g);
        p->activity++;
    }
}

void pair_inject(struct pair *p, int to, const struct net_path *path, const void *data, size_t len)
{
    ike_receive(p->s[to].ike, path, slice_of(data, len));
    pair_run(p);
}

// --- the fake path ---

static void install(struct side *s, struct ipc_chan *c, const struct msg_CHILD_INSTALL *m)
{
    union msg child;
    if (s->refuse_install || s->refuse_next) {
        s->refuse_next = false;
        ipc_result(c, m->req, false, "the test's path refuses");
        return;
    }
    assert_int_equal(msg_read(m->child, &child), MSG_CHILD);
    assert_true(s->sa_count < PAIR_SAS);
    struct path_sa *sa = &s->sas[s->sa_count++];
    sa->child = child.CHILD;
    sa->expected = s->expected == child.CHILD.spi_in;
    sa->key_len = m->key_out.len;
    memcpy(sa->key_out, m->key_out.p, m->key_out.len);
    memcpy(sa->key_in, m->key_in.p, m->key_in.len);
    ipc_result(c, m->req, true, "%s", "");
}

static bool holds(struct side *s, uint32_t req)
{
    if (s->hold_policies) {
        assert_true(s->held_count < 32);
        s->policies_held[s->held_count++] = req;
    }
    return s->hold_policies;
}

static void apply(struct side *s, struct ipc_chan *c, const struct msg_POLICY_APPLY *m)
{
    if (holds(s, m->req))
        return;
    assert_true(s->policies < PAIR_SAS);
    s->policies++;
    s->edit = m->edit;
    if (s->refuse_policies) {
        ipc_result(c, m->req, false, "the test's path refuses");
        return;
    }
    struct policy_spec *got = NULL;
    unsigned count;
    int rc = policies_read(m->policies, &got, &count);
    if (rc == -ENOMEM) { // of a test that takes memory away
        ipc_result(c, m->req, false, "the test's path has no memory");
        return;
    }
    assert_int_equal(rc, 0);
    free(s->policy);
    s->policy = got;
    s->policy_count = count;
    s->policy_peer = m->peer;
    ipc_result(c, m->req, true, "%s", "");
}

static void virtual_ip(struct side *s, struct ipc_chan *c, const struct msg_VIRTUAL_ADD *m)
{
    assert_true(s->virtual_count < PAIR_SAS);
    if (!s->refuse_virtual)
        s->virtual_ip[s->virtual_count++] = m->address;
    s->virtual_after = s->policies;
    ipc_result(c, m->req, !s->refuse_virtual, "%s", s->refuse_virtual ? "the test's path refuses" : "");
}

static void no_virtual_ip(struct side *s, const struct addr *a)
{
    for (unsigned i = 0; i < s->virtual_count; i++) {
        if (addr_eq(&s->virtual_ip[i], a)) {
            memmove(&s->virtual_ip[i], &s->virtual_ip[i + 1], (--s->virtual_count - i) * sizeof(*a));
            return;
        }
    }
}

static void path_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct side *s = ctx;
    s->pair->activity++;
    if (t == MSG_CHILD_INSTALL && s->hold_install) {
        struct writer w = writer_of(s->held, sizeof(s->held));
        msg_write(&w, t, &m->CHILD_INSTALL);
        s->held_len = w.len;
        s->hold_install = false;
    } else if (t == MSG_CHILD_INSTALL) {
        install(s, c, &m->CHILD_INSTALL);
    } else if (t == MSG_POLICY_APPLY) {
        apply(s, c, &m->POLICY_APPLY);
    } else if (t == MSG_POLICY_CLEAR && !holds(s, m->POLICY_CLEAR.req)) {
        s->policy_count = s->refuse_policies ? s->policy_count : 0;
        ipc_result(c, m->POLICY_CLEAR.req, !s->refuse_policies, "%s", "");
    } else if (t == MSG_CHILD_EXPECT) {
        s->expected = m->CHILD_EXPECT.over ? 0 : m->CHILD_EXPECT.spi;
    } else if (t == MSG_CHILD_ENDPOINT) {
        s->endpoint = m->CHILD_ENDPOINT;
        s->endpoints++;
        ipc_result(c, m->CHILD_ENDPOINT.req, true, "%s", "");
    } else if (t == MSG_SURVIVORS_END) {
        ipc_result(c, m->SURVIVORS_END.req, true, "%u", s->survivors);
        s->survivors = 0;
    } else if (t == MSG_PATH_OPEN) {
        s->opens++;
        s->whole = m->PATH_OPEN.whole;
    } else if (t == MSG_VIRTUAL_ADD) {
        virtual_ip(s, c, &m->VIRTUAL_ADD);
    } else if (t == MSG_VIRTUAL_DEL) {
        no_virtual_ip(s, &m->VIRTUAL_DEL.address);
    } else if (t == MSG_CHILD_OUTBOUND) {
        for (unsigned i = 0; i < s->sa_count; i++)
            if (s->sas[i].child.child_id == m->CHILD_OUTBOUND.child_id)
                s->sas[i].child.out_after = m->CHILD_OUTBOUND.after;
        ipc_result(c, m->CHILD_OUTBOUND.req, true, "%s", "");
    } else if (t == MSG_CHILD_DELETE) {
        for (unsigned i = 0; i < s->sa_count; i++)
            if (s->sas[i].child.child_id == m->CHILD_DELETE.child_id)
                s->sas[i].deleted = true;
        ipc_result(c, m->CHILD_DELETE.req, true, "%s", "");
    }
}

void pair_release(struct side *s)
{
    union msg m;
    assert_int_equal(msg_read(slice_of(s->held, s->held_len), &m), MSG_CHILD_INSTALL);
    s->held_len = 0;
    install(s, s->path_keys, &m.CHILD_INSTALL);
    pair_run(s->pair);
}

// --- the fake ctl ---

static void ctl_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct side *s = ctx;
    (void)c;
    s->pair->activity++;
    if (s->on_ctl)
        s->on_ctl(s, t, m);
    if (t == MSG_RESULT) {
        s->results++;
        s->last_req = m->RESULT.req;
        s->last_ok = m->RESULT.ok;
        snprintf(s->last_text, sizeof(s->last_text), "%s", m->RESULT.text);
    } else if (t == MSG_IKE_UPDOWN) {
        s->ike_up += m->IKE_UPDOWN.up;
        s->ike_down += !m->IKE_UPDOWN.up;
    } else if (t == MSG_CHILD_UPDOWN) {
        s->child_up += m->CHILD_UPDOWN.up;
        s->child_down += !m->CHILD_UPDOWN.up;
    } else if (t == MSG_IKE_INFO) {
        s->ike_info = m->IKE_INFO;
        s->ike_infos++;
    } else if (t == MSG_CHILD_INFO) {
        s->child_infos++;
    }
}

static void closed(void *ctx, struct ipc_chan *c)
{
    struct side *s = ctx;
    struct ipc_chan **all[] = {&s->ctl_ike, &s->ctl_keys, &s->path_ike, &s->path_keys};
    for (unsigned i = 0; i < 4; i++)
        if (*all[i] == c)
            *all[i] = NULL;
    ipc_close(c);
}

static const struct ipc_handler path_handler = {path_message, closed}, ctl_handler = {ctl_message, closed};

// --- making and running ---

static void link_rooms(struct side *s)
{
    struct loop *l = s->pair->loop;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    ike_attach(s->ike, ROOM_KEYS, fd[0]);
    keys_attach(s->keys, ROOM_IKE, fd[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    ike_attach(s->ike, ROOM_PATH, fd[0]);
    s->path_ike = ipc_open(l, fd[1], ROOM_PATH, ROOM_IKE, &path_handler, s);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    keys_attach(s->keys, ROOM_PATH, fd[0]);
    s->path_keys = ipc_open(l, fd[1], ROOM_PATH, ROOM_KEYS, &path_handler, s);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    ike_attach(s->ike, ROOM_CTL, fd[0]);
    s->ctl_ike = ipc_open(l, fd[1], ROOM_CTL, ROOM_IKE, &ctl_handler, s);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    keys_attach(s->keys, ROOM_CTL, fd[0]);
    s->ctl_keys = ipc_open(l, fd[1], ROOM_CTL, ROOM_KEYS, &ctl_handler, s);
}

static void nothing(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx, (void)c, (void)t, (void)m;
}

static const struct ipc_handler super_handler = {nothing, closed};

static void link_super(struct side *s)
{
    struct loop *l = s->pair->loop;
    int fd[2];
    if (s->super_ike)
        return;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    assert_int_equal(ike_attach(s->ike, ROOM_SUPER, fd[0]), 0);
    s->super_ike = ipc_open(l, fd[1], ROOM_SUPER, ROOM_IKE, &super_handler, s);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    assert_int_equal(keys_attach(s->keys, ROOM_SUPER, fd[0]), 0);
    s->super_keys = ipc_open(l, fd[1], ROOM_SUPER, ROOM_KEYS, &super_handler, s);
}

void pair_path_dies(struct pair *p, int side)
{
    struct side *s = &p->s[side];
    const struct msg_ROOM_PID dead = {.room = ROOM_PATH};
    link_super(s);
    ipc_close(s->path_ike);
    ipc_close(s->path_keys);
    s->path_ike = s->path_keys = NULL;
    s->sa_count = s->policy_count = s->policies = s->virtual_count = s->opens = 0;
    ipc_send(s->super_ike, MSG_ROOM_PID, &dead);
    ipc_send(s->super_keys, MSG_ROOM_PID, &dead);
    pair_run(p);
}

void pair_path_comes(struct pair *p, int side)
{
    struct side *s = &p->s[side];
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    s->path_keys = ipc_open(p->loop, fd[1], ROOM_PATH, ROOM_KEYS, &path_handler, s);
    assert_int_equal(ipc_send_channel(s->super_keys, ROOM_PATH, fd[0]), 0);
    pair_run(p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    s->path_ike = ipc_open(p->loop, fd[1], ROOM_PATH, ROOM_IKE, &path_handler, s);
    assert_int_equal(ipc_send_channel(s->super_ike, ROOM_PATH, fd[0]), 0);
    pair_run(p);
}

struct pair *pair_new(void (*tune)(struct settings *s))
{
    struct pair *p = calloc(1, sizeof(*p));
    pair_clock = 1000000;
    if (!getenv("IKE_LOG"))
        log_set_all(-1);
    p->loop = loop_new();
    loop_set_clock(p->loop, (struct clock){virtual_now, NULL});
    settings_default(&p->set);
    p->nat_shift = 10000;
    p->nat_address = "192.0.2.1";
    p->set.port = 500;
    p->set.port_nat_t = 4500;
    if (tune)
        tune(&p->set);
    for (int i = 0; i < 2; i++) {
        struct net net = {&p->s[i], net_send, net_source_for, NULL, NULL, NULL};
        p->s[i].pair = p;
        p->s[i].index = i;
        p->s[i].ike = ike_new(p->loop, &p->set, &net);
        p->s[i].keys = keys_new(p->loop);
        link_rooms(&p->s[i]);
    }
    return p;
}

void pair_free(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        ike_free(p->s[i].ike);
        keys_free(p->s[i].keys);
        ipc_close(p->s[i].ctl_ike);
        ipc_close(p->s[i].ctl_keys);
        ipc_close(p->s[i].path_ike);
        ipc_close(p->s[i].path_keys);
        ipc_close(p->s[i].super_ike);
        ipc_close(p->s[i].super_keys);
    }
    for (int i = 0; i < 2; i++)
        free(p->s[i].policy);
    while (p->queue) {
        struct datagram *g = p->queue;
        p->queue = g->next;
        free(g);
    }
    while (p->late) {
        struct datagram *g = p->late;
        p->late = g->next;
        free(g);
    }
    loop_free(p->loop);
    free(p);
}

void pair_run(struct pair *p)
{
    for (int idle = 0; idle < 8;) {
        unsigned before = p->activity;
        loop_once(p->loop, 0);
        deliver(p);
        idle = p->activity == before ? idle + 1 : 0;
    }
}

void pair_wait(struct pair *p, uint64_t ms)
{
    uint64_t end = pair_clock + ms;
    pair_run(p);
    while (loop_next_timer(p->loop) <= end) {
        uint64_t next = loop_next_timer(p->loop);
        pair_clock = next > pair_clock ? next : pair_clock;
        deliver_late(p);
        pair_run(p);
    }
    pair_clock = end;
    deliver_late(p);
    pair_run(p);
}

// --- configuration ---

void pair_proposal(struct proposal *p, uint8_t protocol, const char *keywords)
{
    char text[300], *save = NULL;
    memset(p, 0, sizeof(*p));
    p->protocol = protocol;
    snprintf(text, sizeof(text), "%s", keywords);
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
        assert_true(transform_by_keyword(w, &p->t[p->count++]));
}

static void net_ts(struct ts_list *l, uint8_t second)
{
    memset(l, 0, sizeof(*l));
    l->count = 1;
    l->t[0] = (struct ts){.family = 4, .port_hi = 65535};
    memcpy(l->t[0].lo, (uint8_t[]){10, second, 0, 0}, 4);
    memcpy(l->t[0].hi, (uint8_t[]){10, second, 255, 255}, 4);
}

void pair_default_conn(struct conn_config *c, int side)
{
    memset(c, 0, sizeof(*c));
    c->name = "t";
    c->local.id = side ? "b.test" : "a.test";
    c->remote.id = side ? "a.test" : "b.test";
    c->local.auth = c->remote.auth = AUTH_PSK;
    // Until the next call for that side:
    static struct addr addrs[2][2][ADDRS_MAX];
    memset(addrs[side], 0, sizeof(addrs[side]));
    c->local_addrs = addrs[side][0];
    c->remote_addrs = addrs[side][1];
    c->local_count = c->remote_count = 1;
    addr_parse(ADDRS[side], &c->local_addrs[0]);
    addr_parse(ADDRS[1 - side], &c->remote_addrs[0]);
    c->unique = UNIQUE_REPLACE;
    c->keyingtries = 1;
    c->proposal_count = 1;
    static struct proposal proposals[2][2][PROPOSALS_MAX];
    static struct child_config child[2];
    static struct ts_list selectors[2][2];
    static char pools[2][POOLS_MAX][NAME_MAX_LEN];
    memset(proposals[side], 0, sizeof(proposals[side]));
    c->proposals = proposals[side][0];
    pair_proposal(&c->proposals[0], PROTO_IKE, "aes256gcm16 prfsha256 x25519");
    c->pools = pools[side];
    static struct addr vips[2][VIPS_MAX];
    memset(vips[side], 0, sizeof(vips[side]));
    c->vips = vips[side];
    memset(&child[side], 0, sizeof(child[side]));
    c->child_count = 1;
    c->children = &child[side];
    struct child_config *k = &c->children[0];
    k->action = POLICY_PROTECT;
    k->mode = MODE_TUNNEL;
    k->name = "c";
    k->proposal_count = 1;
    k->replay_window = UINT32_MAX;
    k->proposals = proposals[side][1];
    pair_proposal(&k->proposals[0], PROTO_ESP, "aes256gcm16");
    k->local_ts = &selectors[side][0];
    k->remote_ts = &selectors[side][1];
    net_ts(k->local_ts, side ? 2 : 1);
    net_ts(k->remote_ts, side ? 1 : 2);
}

void pair_load(struct pair *p, int side, const struct conn_config *c)
{
    static uint8_t buf[65536];
    struct writer w = writer_of(buf, sizeof(buf));
    struct side *s = &p->s[side];
    conn_write(&w, c);
    uint32_t req = ++next_req;
    ipc_send(s->ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = req, .conn = wr_written(&w)});
    pair_run(p);
    if (c->children[0].start_action != ACTION_START)
        pair_result(p, side, req, true);
}

void pair_psk(struct pair *p, int side, const char *secret, const char *owner1, const char *owner2)
{
    uint8_t owners[600];
    struct writer w = writer_of(owners, sizeof(owners));
    struct side *s = &p->s[side];
    if (owner1)
        wr_cstr(&w, owner1);
    if (owner2)
        wr_cstr(&w, owner2);
    struct msg_SECRET_LOAD m = {
        .req = ++next_req, .type = "ike", .data = slice_str(secret), .owners = wr_written(&w)};
    snprintf(m.id, sizeof(m.id), "ike-%u", m.req);
    ipc_send(s->ctl_keys, MSG_SECRET_LOAD, &m);
    pair_run(p);
    pair_result(p, side, m.req, true);
}

void pair_simple(struct pair *p)
{
    struct conn_config c;
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, i);
        pair_load(p, i, &c);
        pair_psk(p, i, "a secret of both", "a.test", "b.test");
    }
}

void pair_identity(struct identity **id, const char *text)
{
    struct identity new;
    assert_true(identity_parse(text, &new));
    free(*id);
    *id = identity_dup(&new);
    assert_non_null(*id);
}

uint32_t pair_initiate(struct pair *p, int side, const char *child)
{
    struct msg_INITIATE m = {.req = ++next_req};
    snprintf(m.child, sizeof(m.child), "%s", child);
    ipc_send(p->s[side].ctl_ike, MSG_INITIATE, &m);
    pair_run(p);
    return m.req;
}

bool pair_load_pool(struct pair *p, int side, const char *name, const char *addrs, struct slice attrs)
{
    struct pool_config c = {.attrs_len = (uint16_t)attrs.len};
    uint8_t buf[4096];
    const char *why;
    struct writer w = writer_of(buf, sizeof(buf));
    struct msg_POOL_LOAD m = {.req = ++next_req};
    snprintf(c.name, sizeof(c.name), "%s", name);
    assert_true(pool_addrs_parse(&c, addrs, &why));
    assert_true(attrs.len <= sizeof(c.attrs));
    if (attrs.len)
        memcpy(c.attrs, attrs.p, attrs.len);
    pool_write(&w, &c);
    m.pool = wr_written(&w);
    ipc_send(p->s[side].ctl_ike, MSG_POOL_LOAD, &m);
    pair_run(p);
    assert_int_equal(p->s[side].last_req, m.req);
    return p->s[side].last_ok;
}

void pair_terminate(struct pair *p, int side, const char *child, bool force)
{
    struct msg_TERMINATE m = {.req = ++next_req, .force = force};
    if (child)
        snprintf(m.child, sizeof(m.child), "%s", child);
    else
        snprintf(m.conn, sizeof(m.conn), "t");
    ipc_send(p->s[side].ctl_ike, MSG_TERMINATE, &m);
    pair_run(p);
}

void pair_result(struct pair *p, int side, uint32_t req, bool ok)
{
    struct side *s = &p->s[side];
    if (s->last_req != req || s->last_ok != ok)
        fail_msg("side %d: the last result is for request %u (%s '%s'), expected %u to be %s", side,
                 s->last_req, s->last_ok ? "ok" : "not ok", s->last_text, req, ok ? "ok" : "refused");
}

unsigned pair_live(struct side *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->sa_count; i++)
        n += !s->sas[i].deleted;
    return n;
}

struct path_sa *pair_sa(struct side *s, unsigned live)
{
    for (unsigned i = 0; i < s->sa_count; i++)
        if (!s->sas[i].deleted && live-- == 0)
            return &s->sas[i];
    return NULL;
}

// That which the other end has for a, in whichever order the two have them.
static struct path_sa *counterpart(struct side *other, const struct path_sa *a)
{
    for (unsigned i = 0; i < pair_live(other); i++)
        if (pair_sa(other, i)->child.spi_out == a->child.spi_in)
            return pair_sa(other, i);
    return NULL;
}

bool pair_agree(struct pair *p)
{
    if (pair_live(&p->s[0]) != pair_live(&p->s[1]))
        return false;
    for (unsigned i = 0; i < pair_live(&p->s[0]); i++) {
        struct path_sa *a = pair_sa(&p->s[0], i), *b = counterpart(&p->s[1], a);
        if (!b || a->child.spi_out != b->child.spi_in || a->key_len != b->key_len ||
            memcmp(a->key_out, b->key_in, a->key_len) != 0 ||
            memcmp(a->key_in, b->key_out, a->key_len) != 0 || memcmp(a->key_in, a->key_out, a->key_len) == 0)
            return false;
        if (!ts_eq(&a->child.local_ts.t[0], &b->child.remote_ts.t[0]) ||
            !ts_eq(&a->child.remote_ts.t[0], &b->child.local_ts.t[0]) ||
            a->child.udp_encap != b->child.udp_encap)
            return false;
    }
    return true;
}

// What need not be written is left as it is: where states are kept by fork, each page written is a copy.
void pair_forget_deleted(struct side *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->sa_count; i++) {
        if (s->sas[i].deleted)
            continue;
        if (n < i)
            s->sas[n] = s->sas[i];
        n++;
    }
    memset(&s->sas[n], 0, (s->sa_count - n) * sizeof(s->sas[0]));
    s->sa_count = n;
}

void pair_own_selectors(struct child_config *k)
{
    static struct ts_list all[32][2];
    static unsigned next;
    struct ts_list *own = all[next++ % 32];
    ts_list_copy(&own[0], k->local_ts);
    ts_list_copy(&own[1], k->remote_ts);
    k->local_ts = &own[0];
    k->remote_ts = &own[1];
}

void pair_two_children(struct conn_config *c, int side)
{
    struct child_config *k;
    static struct child_config both[2][2];
    both[side][0] = c->children[0];
    both[side][1] = c->children[0];
    c->children = both[side];
    c->child_count = 2;
    k = &c->children[1];
    pair_own_selectors(k);
    k->name = "d";
    k->local_ts->t[0].lo[1] = k->local_ts->t[0].hi[1] = side ? 22 : 11;
    k->remote_ts->t[0].lo[1] = k->remote_ts->t[0].hi[1] = side ? 11 : 22;
}

struct pair *pair_loaded(uint8_t unique, pair_tune tune)
{
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (int i = 1; i >= 0; i--) {
        pair_psk(p, i, "secret", NULL, NULL);
        pair_default_conn(&c, i);
        c.unique = unique;
        if (tune)
            tune(&c, i);
        pair_load(p, i, &c);
    }
    return p;
}

struct pair *pair_established(uint8_t unique, pair_tune tune)
{
    struct pair *p = pair_loaded(unique, tune);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(pair_live(&p->s[0]) == 1 && pair_agree(p));
    return p;
}

void pair_assert_one(struct pair *p)
{
    for (int i = 0; i < 2; i++)
        if (p->s[i].ike->sa_count != 1 || pair_live(&p->s[i]) != 1)
            fail_msg("side %d: %u IKE SAs and %u CHILD SAs, expected one of each", i, p->s[i].ike->sa_count,
                     pair_live(&p->s[i]));
    assert_true(pair_agree(p));
}

int pair_lose_all(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    (void)d;
    return 0;
}
