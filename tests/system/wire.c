// SPDX-License-Identifier: Apache-2.0
// Reads a capture from the link between the sites and says what was on it: ESP packets with a (destination,
// SPI, sequence) seen before, and packets of the inner networks in clear. Both must be zero, always.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/system/harness.h"

struct key {
    uint32_t dst, spi, seq;
};

static int by_key(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->dst != y->dst)
        return x->dst < y->dst ? -1 : 1;
    if (x->spi != y->spi)
        return x->spi < y->spi ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

struct reader_state {
    struct wire *w;
    struct key *keys;
    size_t count, cap;
};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void note_esp(struct reader_state *r, const uint8_t *dst, const uint8_t *esp)
{
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 4096;
        r->keys = realloc(r->keys, r->cap * sizeof(*r->keys));
        if (!r->keys)
            abort();
    }
    r->keys[r->count++] = (struct key){be32(dst), be32(esp), be32(esp + 4)};
    r->w->esp++;
}

static void note_other(struct wire *w)
{
    if (!w->other++)
        w->ike_before_other = w->ike;
}

static void note_ike(struct wire *w, uint32_t octets)
{
    w->ike++;
    if (octets > w->largest_ike)
        w->largest_ike = octets;
}

static bool inner_net(const uint8_t *addr, bool v6)
{
    return v6 ? addr[0] == 0xfd && (addr[1] == 1 || addr[1] == 2)
              : addr[0] == 10 && (addr[1] == 1 || addr[1] == 2);
}

struct ip { // of either family
    bool v6;
    const uint8_t *src, *dst, *l4;
    uint8_t proto;
    uint32_t left; // behind the header
};

static bool parse(const uint8_t *p, uint32_t len, struct ip *out)
{
    const uint8_t *ip = p + 14;
    if (len >= 14 + 20 && p[12] == 0x08 && p[13] == 0x00) {
        uint32_t header = 4u * (ip[0] & 15);
        *out = (struct ip){false, ip + 12, ip + 16, ip + header, ip[9], len - 14 - header};
        return true;
    }
    if (len >= 14 + 40 && p[12] == 0x86 && p[13] == 0xdd) {
        *out = (struct ip){true, ip + 8, ip + 24, ip + 40, ip[6], len - 14 - 40};
        return true;
    }
    return false; // ARP and the like
}

// What the link itself says: neighbours, groups.
static bool of_the_link(const struct ip *i)
{
    return i->v6 ? i->proto == 0 || (i->proto == 58 && i->left && i->l4[0] >= 130 && i->l4[0] <= 143)
                 : i->proto == 2;
}

static void packet(struct reader_state *r, const uint8_t *p, uint32_t len)
{
    struct ip i;
    r->w->packets++;
    if (!parse(p, len, &i))
        return;
    const uint8_t *last = i.v6 ? i.dst + 12 : i.dst;
    if (inner_net(i.src, i.v6) || inner_net(i.dst, i.v6)) {
        r->w->plaintext++;
    } else if (i.proto == 50 && i.left >= 8) {
        note_esp(r, last, i.l4);
        r->w->esp_bytes += i.left;
    } else if (i.proto == 17 && i.left >= 16) {
        unsigned sport = i.l4[0] << 8 | i.l4[1], dport = i.l4[2] << 8 | i.l4[3];
        if ((sport == 4500 || dport == 4500) && be32(i.l4 + 8) != 0) {
            note_esp(r, last, i.l4 + 8);
            r->w->esp_bytes += i.left - 8;
        } else if (sport == 500 || dport == 500 || sport == 4500 || dport == 4500) {
            note_ike(r->w, i.left + (i.v6 ? 40 : (uint32_t)(i.l4 - (p + 14))));
        } else {
            note_other(r->w);
        }
    } else if (!of_the_link(&i)) {
        note_other(r->w);
    }
}

static FILE *open_capture(const char *pcap, bool *nanoseconds)
{
    uint32_t head[6];
    FILE *f = fopen(pcap, "rb");
    if (f && fread(head, sizeof(head), 1, f) == 1 && (head[0] == 0xa1b2c3d4 || head[0] == 0xa1b23c4d) &&
        head[5] == 1) {
        *nanoseconds = head[0] == 0xa1b23c4d;
        return f;
    }
    if (f)
        fclose(f);
    complain("%s is not an Ethernet capture of this machine's byte order", pcap);
    return NULL;
}

long wire_spi_since(const char *pcap, uint32_t spi, uint64_t from)
{
    static uint8_t buf[262144];
    struct wire w = {0};
    struct reader_state r = {.w = &w};
    bool ns;
    uint32_t rec[4];
    long n = 0;
    FILE *f = open_capture(pcap, &ns);
    if (!f)
        return -1;
    while (fread(rec, sizeof(rec), 1, f) == 1 && rec[2] <= sizeof(buf) &&
           fread(buf, 1, rec[2], f) == rec[2]) {
        r.count = 0;
        packet(&r, buf, rec[2]);
        n += r.count && r.keys[0].spi == spi && rec[0] * 1000000ull + rec[1] / (ns ? 1000 : 1) >= from;
    }
    fclose(f);
    free(r.keys);
    return n;
}

bool wire_check(const char *pcap, struct wire *w)
{
    static uint8_t buf[262144];
    struct reader_state r = {.w = w};
    uint32_t rec[4];
    bool ns;
    FILE *f = open_capture(pcap, &ns);
    memset(w, 0, sizeof(*w));
    if (!f)
        return false;
    while (fread(rec, sizeof(rec), 1, f) == 1 && rec[2] <= sizeof(buf) && fread(buf, 1, rec[2], f) == rec[2])
        packet(&r, buf, rec[2]);
    fclose(f);
    if (r.count)
        qsort(r.keys, r.count, sizeof(*r.keys), by_key);
    for (size_t i = 0; i < r.count; i++) {
        const struct key *k = &r.keys[i], *last = i ? k - 1 : NULL;
        bool same_sa = last && last->dst == k->dst && last->spi == k->spi;
        w->spis += !same_sa;
        w->repeated += same_sa && last->seq == k->seq;
        if (same_sa && k->seq - last->seq > w->max_jump)
            w->max_jump = k->seq - last->seq;
    }
    free(r.keys);
    return true;
}
