// SPDX-License-Identifier: Apache-2.0
// Reading captures, telling packets' numbers by their sizes, and saying where each lost one was seen last.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/system/ledger.h"

enum {
    IP_AT = 14,
    // SPI, sequence, IV, inner IPv4 and UDP, two octets of padding to a multiple of 4, trailer, ICV
    ESP_SMALLEST = 8 + 8 + 28 + STREAM_SMALLEST + 2 + 2 + 16,
    EARLY_US = 30000,      // how young an SA is on which a packet may have come too early
    ON_ITS_WAY_US = 20000, // how long after the receiver's DELETE a packet may have been on its way
    SHOWN = 12,            // runs of losses that are printed
    IKE_NEAR_US = 20000,
};
enum { NEXT_SKF = 53 };

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static void *grown(void *array, size_t count, size_t *room, size_t each)
{
    if (count < *room)
        return array;
    *room = *room ? 2 * *room : 4096;
    array = realloc(array, *room * each);
    if (!array)
        abort();
    return array;
}

static void note_esp(struct capture_log *c, uint64_t t, bool from_east, const uint8_t *esp, uint32_t size)
{
    c->esp = grown(c->esp, c->esp_count, &c->esp_room, sizeof(*c->esp));
    c->esp[c->esp_count++] = (struct ledger_esp){
        t, be32(esp), be32(esp + 4), UINT32_MAX, (uint16_t)size, from_east,
    };
}

static void note_ike(struct capture_log *c, uint64_t t, bool from_east, const uint8_t *ike)
{
    c->ike = grown(c->ike, c->ike_count, &c->ike_room, sizeof(*c->ike));
    c->ike[c->ike_count++] = (struct ledger_ike){
        t,         be64(ike),           be64(ike + 8), be32(ike + 20), ike[18], (ike[19] & 0x20) != 0,
        from_east, ike[16] == NEXT_SKF,
    };
}

static bool inner_net(const uint8_t *addr)
{
    return addr[0] == 10 && (addr[1] == 1 || addr[1] == 2);
}

// captured: octets that are in the file; IPv4's own length says how long the packet was.
static void packet(struct capture_log *c, uint64_t t, const uint8_t *p, uint32_t captured)
{
    const uint8_t *ip = p + IP_AT, *l4 = ip + 20;
    if (captured < IP_AT + 20 + 16 || p[12] != 0x08 || p[13] != 0 || ip[0] != 0x45)
        return;
    bool mine = strcmp(c->site->name, "west") == 0 ? ip[15] == 1 : ip[15] == 2; // the source is this site
    bool from_east = mine == (strcmp(c->site->name, "east") == 0);
    uint32_t size = ((uint32_t)ip[2] << 8 | ip[3]) - 20;
    if (inner_net(ip + 12) || inner_net(ip + 16)) {
        c->clear[inner_net(ip + 12) ? ip[13] == 2 : ip[17] == 1]++;
    } else if (ip[9] == 50) {
        note_esp(c, t, from_east, l4, size);
    } else if (ip[9] == 17 && captured >= IP_AT + 20 + 8 + 28) {
        unsigned sport = (unsigned)l4[0] << 8 | l4[1], dport = (unsigned)l4[2] << 8 | l4[3];
        if (sport == 500 || dport == 500)
            note_ike(c, t, from_east, l4 + 8);
        else if ((sport == 4500 || dport == 4500) && be32(l4 + 8) != 0)
            note_esp(c, t, from_east, l4 + 8, size - 8);
        else if ((sport == 4500 || dport == 4500) && captured >= IP_AT + 20 + 12 + 28)
            note_ike(c, t, from_east, l4 + 12);
    }
}

bool capture_read(struct capture_log *c, const struct site *site, const char *pcap)
{
    static uint8_t b[262144];
    uint32_t head[6], rec[4];
    FILE *f = fopen(pcap, "rb");
    memset(c, 0, sizeof(*c));
    c->site = site;
    bool ok = f && fread(head, sizeof(head), 1, f) == 1 && (head[0] == 0xa1b2c3d4 || head[0] == 0xa1b23c4d) &&
              head[5] == 1;
    while (ok && fread(rec, sizeof(rec), 1, f) == 1 && rec[2] <= sizeof(b) &&
           fread(b, 1, rec[2], f) == rec[2])
        packet(c, (uint64_t)rec[0] * 1000000 + (head[0] == 0xa1b23c4d ? rec[1] / 1000 : rec[1]), b, rec[2]);
    if (f)
        fclose(f);
    return ok || complain("%s is not an Ethernet capture of this machine's byte order", pcap);
}

void capture_free(struct capture_log *c)
{
    free(c->esp);
    free(c->ike);
    memset(c, 0, sizeof(*c));
}

uint64_t capture_requests(const struct capture_log *c, uint8_t exchange)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->ike_count; i++)
        n += c->ike[i].exchange == exchange && !c->ike[i].response;
    return n;
}

uint64_t capture_fragments(const struct capture_log *c, bool from_east)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->ike_count; i++)
        n += c->ike[i].fragment && c->ike[i].from_east == from_east;
    return n;
}

static int by_spi_seq(const void *a, const void *b)
{
    const struct ledger_esp *x = a, *y = b;
    if (x->spi != y->spi)
        return x->spi < y->spi ? -1 : 1;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return (x->t_us > y->t_us) - (x->t_us < y->t_us);
}

// Those of one direction, sorted; to be freed.
static struct ledger_esp *sorted(const struct capture_log *c, bool from_east, size_t *count)
{
    struct ledger_esp *v = calloc(c->esp_count + 1, sizeof(*v));
    if (!v)
        abort();
    *count = 0;
    for (size_t i = 0; i < c->esp_count; i++)
        if (c->esp[i].from_east == from_east)
            v[(*count)++] = c->esp[i];
    qsort(v, *count, sizeof(*v), by_spi_seq);
    return v;
}

uint64_t capture_spis(const struct capture_log *c, bool from_east)
{
    size_t n;
    uint64_t spis = 0;
    struct ledger_esp *v = sorted(c, from_east, &n);
    for (size_t i = 0; i < n; i++)
        spis += i == 0 || v[i].spi != v[i - 1].spi;
    free(v);
    return spis;
}

uint64_t capture_repeated(const struct capture_log *c, bool from_east)
{
    size_t n;
    uint64_t repeated = 0;
    struct ledger_esp *v = sorted(c, from_east, &n);
    for (size_t i = 1; i < n; i++)
        repeated += v[i].spi == v[i - 1].spi && v[i].seq == v[i - 1].seq;
    free(v);
    return repeated;
}

static bool of_stream(const struct stream *s, const struct ledger_esp *e)
{
    if (e->from_east != (s->from->name[0] == 'e') || e->size < ESP_SMALLEST ||
        (e->size - ESP_SMALLEST) % STREAM_STEP)
        return false;
    unsigned code = (unsigned)(e->size - ESP_SMALLEST) / STREAM_STEP;
    return code < STREAM_SIZES && code / stream_period(s) == s->index;
}

// The number with that size which is nearest to the one expected, but not one that was sent only later.
static uint32_t number_of(const struct stream *s, const struct ledger_esp *e, uint32_t expected)
{
    uint32_t period = stream_period(s);
    uint32_t code = (uint32_t)(e->size - ESP_SMALLEST) / STREAM_STEP % period;
    int64_t n = (int64_t)expected + (int64_t)((code + period - expected % period) % period);
    if (n - (int64_t)expected > (int64_t)period / 2)
        n -= period;
    if (n < 0)
        n += period;
    // a long stretch may be missing: as many periods further as the clock says
    while (n + period < s->capacity && s->slots[n + period].sent_us &&
           s->slots[n + period].sent_us <= e->t_us && e->t_us - s->slots[n].sent_us > 300000)
        n += period;
    return n < s->capacity ? (uint32_t)n : UINT32_MAX;
}

// Index + 1 of the packet in the sender's capture that carried each number; to be freed.
static uint32_t *carriers(const struct stream *s, struct capture_log *c)
{
    uint32_t *by_number = calloc(s->capacity, sizeof(*by_number)), expected = 0;
    if (!by_number)
        abort();
    for (size_t i = 0; i < c->esp_count; i++) {
        struct ledger_esp *e = &c->esp[i];
        if (!of_stream(s, e) || (e->number = number_of(s, e, expected)) == UINT32_MAX)
            continue;
        if (!by_number[e->number])
            by_number[e->number] = (uint32_t)i + 1;
        expected = e->number + 1;
    }
    return by_number;
}

static uint64_t first_seen(const struct capture_log *c, uint32_t spi)
{
    for (size_t i = 0; i < c->esp_count; i++)
        if (c->esp[i].spi == spi)
            return c->esp[i].t_us;
    return 0;
}

enum blame { SENDER, EARLY, LINK, RECEIVER, ENDED };
static const char *const blame_text[] = {
    "the sender's end did not put them on its wire",
    "the sender's end used the SA before the receiver's could have it",
    "the link lost them",
    "the receiver's end had them on its wire and did not deliver them",
    "the receiver's end had ended the SA while they were on their way",
};

// Who answers an exchange has its SA before the answer is on the wire.
static bool made_by_receivers_answer(const struct capture_log *at_receiver, const struct ledger_esp *e,
                                     uint64_t born)
{
    bool answered[2] = {false, false}; // by the receiver's end, by the sender's
    for (size_t i = 0; i < at_receiver->ike_count; i++) {
        const struct ledger_ike *k = &at_receiver->ike[i];
        if (k->response && (k->exchange == EXCHANGE_AUTH || k->exchange == EXCHANGE_CREATE_CHILD) &&
            k->t_us + EARLY_US >= born && k->t_us <= e->t_us)
            answered[k->from_east == e->from_east] = true;
    }
    return answered[0] && !answered[1];
}

// Packets on a new SA are early until the receiver's end has shown, by its answer to the exchange that made
// it, by a packet on an SA just as new or by a DELETE of the old one, that it has it; who makes the rekey's
// response may not rely on its arrival (RFC 7296 2.8).
static bool too_early(const struct capture_log *at_receiver, const struct ledger_esp *e)
{
    uint64_t born = first_seen(at_receiver, e->spi);
    if (e->t_us - born > EARLY_US || made_by_receivers_answer(at_receiver, e, born))
        return false;
    for (size_t i = 0; i < at_receiver->ike_count; i++) {
        const struct ledger_ike *k = &at_receiver->ike[i];
        if (k->t_us >= born && k->t_us <= e->t_us && k->from_east != e->from_east && !k->response &&
            k->exchange == EXCHANGE_INFORMATIONAL)
            return false; // the receiver has gone on already
    }
    return true;
}

// An IKE SA that is deleted takes its CHILD SAs with it, a moment before or after that is on the wire.
static bool just_ended(const struct capture_log *at_receiver, const struct ledger_esp *e)
{
    for (size_t i = 0; i < at_receiver->ike_count; i++) {
        const struct ledger_ike *k = &at_receiver->ike[i];
        if (k->from_east != e->from_east && !k->response && k->exchange == EXCHANGE_INFORMATIONAL &&
            k->t_us <= e->t_us + 1000 && e->t_us < k->t_us + ON_ITS_WAY_US)
            return true;
    }
    return false;
}

static enum blame judge(const struct capture_log *out, const struct capture_log *in,
                        const struct ledger_esp *arrived, size_t arrived_count, uint32_t carrier,
                        const struct ledger_esp **seen)
{
    *seen = NULL;
    if (!carrier)
        return SENDER;
    const struct ledger_esp *e = *seen = &out->esp[carrier - 1];
    size_t low = 0, high = arrived_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (arrived[mid].spi < e->spi || (arrived[mid].spi == e->spi && arrived[mid].seq < e->seq))
            low = mid + 1;
        else
            high = mid;
    }
    if (low == arrived_count || arrived[low].spi != e->spi || arrived[low].seq != e->seq)
        return LINK;
    if (too_early(in, &arrived[low]))
        return EARLY;
    return just_ended(in, &arrived[low]) ? ENDED : RECEIVER;
}

struct run {
    uint32_t first, last;
    enum blame blame;
    const struct ledger_esp *seen;
    bool open;
};

static const char *exchange_name(uint8_t exchange)
{
    switch (exchange) {
    case EXCHANGE_SA_INIT: return "IKE_SA_INIT";
    case EXCHANGE_AUTH: return "IKE_AUTH";
    case EXCHANGE_CREATE_CHILD: return "CREATE_CHILD_SA";
    case EXCHANGE_INFORMATIONAL: return "INFORMATIONAL";
    default: return "another exchange";
    }
}

static void print_ike(const struct capture_log *c, uint64_t t)
{
    unsigned shown = 0;
    for (size_t i = 0; i < c->ike_count && shown < 16; i++) {
        const struct ledger_ike *k = &c->ike[i];
        if (k->t_us + IKE_NEAR_US < t || k->t_us > t + IKE_NEAR_US)
            continue;
        fprintf(stderr, "      %+8.3f ms %s %s %u by %s, IKE SA %016llx\n",
                ((double)k->t_us - (double)t) / 1e3, exchange_name(k->exchange),
                k->response ? "response" : "request", k->message_id, k->from_east ? "east" : "west",
                (unsigned long long)k->spi_i);
        shown++;
    }
}

static void print_run(const struct stream *s, const struct capture_log *out, const struct run *r,
                      unsigned *shown)
{
    const struct stream_slot *slot = &s->slots[r->first];
    if (!r->open || (*shown)++ >= SHOWN)
        return;
    fprintf(stderr,
            "    %s -> %s, child %u: numbers %u to %u lost, the first %.3f s after the stream began: %s",
            s->from->name, s->to->name, s->child, r->first, r->last,
            ((double)slot->sent_us - (double)s->slots[0].sent_us) / 1e6, blame_text[r->blame]);
    if (r->seen)
        fprintf(stderr, " (SPI %08x, sequence %u, the SPI's first packet %.3f ms before)", r->seen->spi,
                r->seen->seq, (double)(r->seen->t_us - first_seen(out, r->seen->spi)) / 1e3);
    fprintf(stderr, "\n");
    print_ike(out, slot->sent_us);
}

static void count_loss(struct ledger_losses *l, enum blame blame)
{
    uint64_t *of[] = {&l->sender, &l->early, &l->link, &l->receiver, &l->ended};
    ++*of[blame];
}

bool ledger_attribute(const struct stream *s, struct capture_log ends[2], struct ledger_losses *l)
{
    bool from_east = s->from->name[0] == 'e';
    struct capture_log *out = &ends[from_east], *in = &ends[!from_east];
    size_t arrived_count;
    unsigned shown = 0;
    struct ledger_esp *arrived = sorted(in, from_east, &arrived_count);
    uint32_t *carrier = carriers(s, out), known = 0;
    struct run r = {.open = false};
    memset(l, 0, sizeof(*l));
    for (uint32_t n = 0; n < s->capacity; n++) {
        const struct ledger_esp *seen;
        known += carrier[n] != 0;
        if (!s->slots[n].sent_us || s->slots[n].copies)
            continue;
        enum blame blame = judge(out, in, arrived, arrived_count, carrier[n], &seen);
        count_loss(l, blame);
        if (r.open && r.last + 1 == n && r.blame == blame &&
            (!seen || (r.seen && r.seen->spi == seen->spi))) {
            r.last = n;
            continue;
        }
        print_run(s, out, &r, &shown);
        r = (struct run){n, n, blame, seen, true};
    }
    print_run(s, out, &r, &shown);
    free(arrived);
    free(carrier);
    return known > 0 || complain("no packet of the stream %s -> %s was recognised on the wire", s->from->name,
                                 s->to->name);
}
