// SPDX-License-Identifier: Apache-2.0
// See notes.h. Each note stands in one piece behind its length; where the end of the ring is too near for the
// next one, the rest is skipped.
#include "ctrl/path/notes.h"

#include <errno.h>
#include <stdlib.h>

#include "ctrl/path/path.h"

enum { HEAD = sizeof(uint32_t) };
#define SKIP UINT32_MAX
_Static_assert((NOTES_BYTES & (NOTES_BYTES - 1)) == 0, "the ring is a power of two");

int notes_open(struct notes *n)
{
    *n = (struct notes){.bytes = malloc(NOTES_BYTES)};
    return n->bytes ? 0 : -ENOMEM;
}

void notes_close(struct notes *n)
{
    free(n->bytes);
    n->bytes = NULL;
}

static uint8_t *place(const struct notes *n, uint32_t at)
{
    return n->bytes + (at & (NOTES_BYTES - 1));
}

static uint32_t to_end(uint32_t at)
{
    return NOTES_BYTES - (at & (NOTES_BYTES - 1));
}

static uint32_t octets(uint32_t message)
{
    return (HEAD + message + HEAD - 1) / HEAD * HEAD;
}

// What it takes of the room, 0: there is too little.
static uint32_t write_at(uint8_t *to, uint32_t room, enum msg_type t, const void *m)
{
    if (room <= HEAD)
        return 0;
    struct writer w = writer_of(to + HEAD, room - HEAD);
    msg_write(&w, t, m);
    uint32_t len = (uint32_t)w.len;
    if (w.bad || octets(len) > room)
        return 0;
    memcpy(to, &len, HEAD);
    return octets(len);
}

static bool put(struct notes *n, enum msg_type t, const void *m, uint32_t leave)
{
    uint32_t at = atomic_load_explicit(&n->written, memory_order_relaxed), skipped = 0;
    uint32_t room = NOTES_BYTES - (at - atomic_load_explicit(&n->taken, memory_order_acquire));
    uint32_t here = to_end(at);
    room = room > leave ? room - leave : 0;
    uint32_t len = write_at(place(n, at), room < here ? room : here, t, m);
    if (!len && room > here) {
        len = write_at(n->bytes, room - here, t, m);
        skipped = here;
    }
    if (!len)
        return false;
    if (skipped)
        memcpy(place(n, at), &(uint32_t){SKIP}, HEAD);
    atomic_store_explicit(&n->written, at + skipped + len, memory_order_release);
    return true;
}

bool notes_put(struct notes *n, enum msg_type t, const void *m, uint32_t leave)
{
    bool there = put(n, t, m, leave);
    n->full += !there;
    return there;
}

uint32_t notes_room(const struct notes *n)
{
    return NOTES_BYTES - (atomic_load(&n->written) - atomic_load(&n->taken));
}

struct slice notes_next(struct notes *n)
{
    uint32_t at = atomic_load_explicit(&n->taken, memory_order_relaxed), len;
    if (at == atomic_load_explicit(&n->written, memory_order_acquire))
        return (struct slice){0};
    memcpy(&len, place(n, at), HEAD);
    if (len == SKIP) { // what follows was written with it
        at += to_end(at);
        atomic_store_explicit(&n->taken, at, memory_order_release);
        memcpy(&len, place(n, at), HEAD);
    }
    return slice_of(place(n, at) + HEAD, len);
}

void notes_take(struct notes *n)
{
    uint32_t at = atomic_load_explicit(&n->taken, memory_order_relaxed);
    atomic_store_explicit(&n->taken, at + octets((uint32_t)notes_next(n).len), memory_order_release);
}

// ----

bool note_to_ike(struct worker *w, enum msg_type t, const void *m)
{
    w->own.noted = true;
    return notes_put(&w->notes, t, m, 0);
}

bool note_kept(struct worker *w, enum msg_type t, const void *m)
{
    bool there = put(&w->notes, t, m, 0);
    w->own.noted |= there;
    return there;
}

bool note_of_stranger(struct worker *w, enum msg_type t, const void *m)
{
    w->own.noted = true;
    return notes_put(&w->notes, t, m, NOTES_LEFT_BY_STRANGERS);
}

void note_log(struct worker *w, enum log_subsys s, int level, const char *text)
{
    struct msg_LOG m = {.room = ROOM_PATH, .subsys = (uint8_t)s, .level = (uint8_t)level};
    snprintf(m.text, sizeof(m.text), "%s", text);
    note_of_stranger(w, MSG_LOG, &m); // as much as those may cause
}

// A worker's line becomes one of control's: on stderr, and to ctl.
static void write_line(struct slice note)
{
    union msg m;
    if (msg_read(note, &m) == MSG_LOG)
        log_line((enum log_subsys)m.LOG.subsys, m.LOG.level, "%s", m.LOG.text);
}

static void forward(struct path *p, struct slice m)
{
    struct reader r = reader_of(m);
    if (rd_u16(&r) == MSG_LOG)
        write_line(m);
    else
        (void)ipc_send_written(p->ike, m);
}

// Without ike there is nobody to be told.
void notes_forward(struct path *p)
{
    for (unsigned i = 0; i < p->workers; i++) {
        struct notes *n = &p->worker[i].notes;
        struct slice m;
        p->worker[i].own.noted = false;
        while ((!p->ike || ipc_has_room(p->ike)) && (m = notes_next(n)).len) {
            forward(p, m);
            notes_take(n);
        }
    }
    limits_tell(p);
}
