// SPDX-License-Identifier: Apache-2.0
// The codec that the message list makes, and who may send what to whom.
#include "ctrl/ipc/ipc.h"

static const char *const names[MSG_COUNT] = {"NONE",
#define X(name, routes) #name,
                                             MSG_LIST(X)
#undef X
};

#define AT(from, to) (1ull << (ROOM_##from * ROOM_COUNT + ROOM_##to))
#define FROM_ALL(to)                                                                                         \
    (AT(SUPER, to) | AT(CTL, to) | AT(IKE, to) | AT(KEYS, to) | AT(PATH, to) | AT(FETCH, to) |               \
     AT(METRICS, to) | AT(FLEET, to))
#define TO_ALL(from)                                                                                         \
    (AT(from, SUPER) | AT(from, CTL) | AT(from, IKE) | AT(from, KEYS) | AT(from, PATH) | AT(from, FETCH) |   \
     AT(from, METRICS) | AT(from, FLEET))
_Static_assert(ROOM_COUNT *ROOM_COUNT <= 64, "a bit for each pair of rooms");
static const uint64_t routes_of[MSG_COUNT] = {0,
#define X(name, routes) routes,
                                              MSG_LIST(X)
#undef X
};

bool ipc_may_send(enum room from, enum room to, enum msg_type t)
{
    return (unsigned)t < MSG_COUNT && from != to && (routes_of[t] >> (from * ROOM_COUNT + to) & 1);
}

const char *msg_name(enum msg_type t)
{
    return (unsigned)t < MSG_COUNT ? names[t] : "?";
}

static void write_addr(struct writer *w, const struct addr *a)
{
    wr_u8(w, a->family);
    wr_bytes(w, a->a, 16);
}

static struct addr read_addr(struct reader *r)
{
    struct addr a = {.family = rd_u8(r)};
    struct slice s = rd_bytes(r, 16);
    if (s.len == 16)
        memcpy(a.a, s.p, 16);
    if (a.family != 0 && a.family != 4 && a.family != 6)
        r->bad = true;
    return a;
}

#define PUT(kind, name, size) PUT_##kind(name)
#define PUT_U8(name)          wr_u8(w, m->name);
#define PUT_U16(name)         wr_u16(w, m->name);
#define PUT_U32(name)         wr_u32(w, m->name);
#define PUT_U64(name)         wr_u64(w, m->name);
#define PUT_STR(name)         wr_cstr(w, m->name);
#define PUT_BLOB(name)        wr_slice32(w, m->name);
#define PUT_ADDR(name)        write_addr(w, &m->name);
#define PUT_TSL(name)         ts_list_write(w, &m->name);

#define GET(kind, name, size) GET_##kind(name)
#define GET_U8(name)          m->name = rd_u8(r);
#define GET_U16(name)         m->name = rd_u16(r);
#define GET_U32(name)         m->name = rd_u32(r);
#define GET_U64(name)         m->name = rd_u64(r);
#define GET_STR(name)         rd_cstr(r, m->name, sizeof(m->name));
#define GET_BLOB(name)        m->name = rd_slice32(r);
#define GET_ADDR(name)        m->name = read_addr(r);
#define GET_TSL(name)         r->bad |= !ts_list_read(r, &m->name);

#define X(name, routes)                                                                                      \
    static void put_##name(struct writer *w, const struct msg_##name *m)                                     \
    {                                                                                                        \
        MSG_##name##_FIELDS(PUT)                                                                             \
    }                                                                                                        \
    static void get_##name(struct reader *r, struct msg_##name *m)                                           \
    {                                                                                                        \
        MSG_##name##_FIELDS(GET)                                                                             \
    }
MSG_LIST(X)
#undef X

void msg_write(struct writer *w, enum msg_type t, const void *m)
{
    wr_u16(w, (uint16_t)t);
    switch (t) {
#define X(name, routes)                                                                                      \
    case MSG_##name: put_##name(w, m); break;
        MSG_LIST(X)
#undef X
    default: w->bad = true;
    }
}

// Of the union only the one message's part is ever touched: most are a fiftieth of it.
static const size_t sizes[MSG_COUNT] = {0,
#define X(name, routes) sizeof(struct msg_##name),
                                        MSG_LIST(X)
#undef X
};

enum msg_type msg_parse(struct slice s, union msg *m, size_t *touched)
{
    struct reader r = reader_of(s);
    enum msg_type t = (enum msg_type)rd_u16(&r);
    *touched = (unsigned)t < MSG_COUNT ? sizes[t] : 0;
    memset(m, 0, *touched);
    switch (t) {
#define X(name, routes)                                                                                      \
    case MSG_##name: get_##name(&r, &m->name); break;
        MSG_LIST(X)
#undef X
    default: return MSG_NONE;
    }
    return rd_done(&r) ? t : MSG_NONE;
}

enum msg_type msg_read(struct slice s, union msg *m)
{
    size_t touched;
    return msg_parse(s, m, &touched);
}
