// SPDX-License-Identifier: Apache-2.0
// Slices, and a reader and a writer with a sticky error: read or write a whole message, then look at `bad`
// once. Integers are big-endian (network order). A read past the end gives zeros and sets bad; nothing is
// ever read outside the slice.
#ifndef CTRL_SLICE_H
#define CTRL_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *p;
    size_t len;
};
static inline struct slice slice_of(const void *p, size_t len)
{
    return (struct slice){p, len};
}
static inline struct slice slice_str(const char *s)
{
    return (struct slice){(const uint8_t *)s, strlen(s)};
}
static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || (a.p && b.p && memcmp(a.p, b.p, a.len) == 0));
}

struct reader {
    const uint8_t *p;
    size_t left;
    bool bad;
    bool no_memory; // it is bad because there was none for what was read; nothing is wrong with that
};
static inline struct reader reader_of(struct slice s)
{
    return (struct reader){s.p, s.len, false, false};
}
static inline void rd_no_memory(struct reader *r)
{
    r->bad = r->no_memory = true;
}
static inline struct slice rd_bytes(struct reader *r, size_t n)
{
    struct slice s = {r->p, n};
    if (r->bad || n > r->left) {
        r->bad = true;
        return (struct slice){r->p, 0};
    }
    r->p += n;
    r->left -= n;
    return s;
}
static inline uint64_t rd_uint(struct reader *r, size_t n)
{
    struct slice s = rd_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++)
        v = v << 8 | s.p[i];
    return v;
}
static inline uint8_t rd_u8(struct reader *r)
{
    return (uint8_t)rd_uint(r, 1);
}
static inline uint16_t rd_u16(struct reader *r)
{
    return (uint16_t)rd_uint(r, 2);
}
static inline uint32_t rd_u32(struct reader *r)
{
    return (uint32_t)rd_uint(r, 4);
}
static inline uint64_t rd_u64(struct reader *r)
{
    return rd_uint(r, 8);
}
// Of as many octets as it takes: seven bits each, the highest first, the top bit says that more follow.
static inline uint64_t rd_num(struct reader *r, uint64_t max)
{
    uint64_t v = 0;
    for (bool more = true, first = true; more && !r->bad; first = false) {
        uint8_t b = rd_u8(r);
        if (v > max >> 7 || (first && b == 0x80)) // too much; not the shortest form
            r->bad = true;
        v = v << 7 | (b & 0x7f);
        more = b >> 7;
    }
    if (v > max)
        r->bad = true;
    return r->bad ? 0 : v;
}
static inline struct slice rd_rest(struct reader *r)
{
    return rd_bytes(r, r->left);
}
static inline struct slice rd_slice16(struct reader *r) // u16 length, then the bytes
{
    return rd_bytes(r, rd_u16(r));
}
static inline struct slice rd_slice32(struct reader *r)
{
    return rd_bytes(r, rd_u32(r));
}
// Copies into a zero-terminated array; too long, or holding a zero byte, is bad.
static inline void rd_cstr(struct reader *r, char *dst, size_t size)
{
    struct slice s = rd_slice16(r);
    dst[0] = 0;
    if (s.len >= size || (s.len && memchr(s.p, 0, s.len))) {
        r->bad = true;
        return;
    }
    if (s.len)
        memcpy(dst, s.p, s.len);
    dst[s.len] = 0;
}
// The message must end here.
static inline bool rd_done(const struct reader *r)
{
    return !r->bad && r->left == 0;
}

struct writer {
    uint8_t *p;
    size_t len, cap;
    bool bad;
};
static inline struct writer writer_of(void *p, size_t cap)
{
    return (struct writer){p, 0, cap, false};
}
static inline void wr_bytes(struct writer *w, const void *p, size_t n)
{
    if (w->bad || n > w->cap - w->len) {
        w->bad = true;
        return;
    }
    if (n)
        memcpy(w->p + w->len, p, n);
    w->len += n;
}
static inline void wr_uint(struct writer *w, uint64_t v, size_t n)
{
    uint8_t b[8];
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    wr_bytes(w, b, n);
}
static inline void wr_u8(struct writer *w, uint8_t v)
{
    wr_uint(w, v, 1);
}
static inline void wr_u16(struct writer *w, uint16_t v)
{
    wr_uint(w, v, 2);
}
static inline void wr_u32(struct writer *w, uint32_t v)
{
    wr_uint(w, v, 4);
}
static inline void wr_u64(struct writer *w, uint64_t v)
{
    wr_uint(w, v, 8);
}
static inline void wr_num(struct writer *w, uint64_t v) // as rd_num reads it
{
    for (unsigned bits = 63; bits; bits -= 7)
        if (v >> bits)
            wr_u8(w, (uint8_t)(0x80 | (v >> bits & 0x7f)));
    wr_u8(w, v & 0x7f);
}
static inline void wr_slice(struct writer *w, struct slice s)
{
    wr_bytes(w, s.p, s.len);
}
static inline void wr_slice16(struct writer *w, struct slice s)
{
    if (s.len > UINT16_MAX)
        w->bad = true;
    wr_u16(w, (uint16_t)s.len);
    wr_slice(w, s);
}
static inline void wr_slice32(struct writer *w, struct slice s)
{
    wr_u32(w, (uint32_t)s.len);
    wr_slice(w, s);
}
static inline void wr_cstr(struct writer *w, const char *s)
{
    wr_slice16(w, slice_str(s));
}
// Puts a length that is known later: remember the position, write on, then fill in.
static inline void wr_set_u16(struct writer *w, size_t at, uint16_t v)
{
    if (w->bad || at + 2 > w->len)
        return;
    w->p[at] = (uint8_t)(v >> 8);
    w->p[at + 1] = (uint8_t)v;
}
static inline struct slice wr_written(const struct writer *w)
{
    return (struct slice){w->p, w->bad ? 0 : w->len};
}

#endif
