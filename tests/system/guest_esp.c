// SPDX-License-Identifier: Apache-2.0
// A Linux kernel's ESP and AH, in a virtual machine, against an engine of ours, both ways: every algorithm by
// mode, family and encapsulation, over the end of 32 bits with extended sequence numbers. What the engine
// seals, some of it out of order, the kernel opens and answers; what the kernel seals the engine opens, out
// of order too; and what is sent twice or was changed on the way neither of them takes. The kernel's own
// counters are held against that at the end. ESPALIER_ENGINE=card: a simulated card instead of software, for
// what it takes.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "driver/common/bytes.h"
#include "driver/common/params.h"
#include "tests/system/guest.h"
#include "tests/system/guest_xfrm.h"
#include "tests/system/harness.h"

enum { TFC = 300, FRAME = 2048, HEAD = 14, BUFFERS = 256, PACKETS = 20, EXTRA = 2, QUIET_MS = 40 };
static const uint16_t octets[PACKETS + EXTRA] = {0,  1,  2,  3,  4,  5,   7,   8,    9,    15,  16,
                                                 17, 31, 63, 64, 65, 255, 576, 1000, 1300, 100, 33};

// ---- what is tried

struct row {
    enum esp_protocol protocol;
    enum esp_alg alg;
    enum esp_integ integ;
};
#define AEAD(a)                                                                                              \
    {                                                                                                        \
        ESP_PROTOCOL_ESP, ESP_ALG_##a, ESP_INTEG_NONE                                                        \
    }
#define BOTH(a, i)                                                                                           \
    {                                                                                                        \
        ESP_PROTOCOL_ESP, ESP_ALG_##a, ESP_INTEG_HMAC_##i                                                    \
    }
#define AH(i)                                                                                                \
    {                                                                                                        \
        ESP_PROTOCOL_AH, ESP_ALG_NONE, ESP_INTEG_HMAC_##i                                                    \
    }
static const struct row rows[] = {
    AEAD(AES128_GCM16),
    AEAD(AES192_GCM16),
    AEAD(AES256_GCM16),
    AEAD(CHACHA20_POLY1305),
    AEAD(AES128_GCM8),
    AEAD(AES192_GCM8),
    AEAD(AES256_GCM8),
    AEAD(AES128_GCM12),
    AEAD(AES192_GCM12),
    AEAD(AES256_GCM12),
    AEAD(AES128_CCM8),
    AEAD(AES192_CCM8),
    AEAD(AES256_CCM8),
    AEAD(AES128_CCM12),
    AEAD(AES192_CCM12),
    AEAD(AES256_CCM12),
    AEAD(AES128_CCM16),
    AEAD(AES192_CCM16),
    AEAD(AES256_CCM16),
    AEAD(AES128_GMAC),
    AEAD(AES192_GMAC),
    AEAD(AES256_GMAC),
    BOTH(AES128_CBC, SHA256_128),
    BOTH(AES192_CBC, SHA384_192),
    BOTH(AES256_CBC, SHA512_256),
    BOTH(AES256_CBC, SHA1_96),
    BOTH(AES128_CTR, SHA256_128),
    BOTH(AES192_CTR, SHA384_192),
    BOTH(AES256_CTR, SHA512_256),
    BOTH(NULL, SHA256_128),
    AH(SHA256_128),
    AH(SHA384_192),
    AH(SHA512_256),
    AH(SHA1_96),
};
struct column {
    const char *name;
    enum esp_mode mode;
    bool outer6, inner6, udp;
};
static const struct column columns[] = {
    {"tunnel", ESP_TUNNEL, false, false, false}, {"transport", ESP_TRANSPORT, false, false, false},
    {"tunnel6", ESP_TUNNEL, true, true, false},  {"transport6", ESP_TRANSPORT, true, true, false},
    {"4in6", ESP_TUNNEL, true, false, false},    {"6in4", ESP_TUNNEL, false, true, false},
    {"udp", ESP_TUNNEL, false, false, true},     {"udp-transport", ESP_TRANSPORT, false, false, true},
    {"udp6", ESP_TUNNEL, true, true, true},      {"udp6-transport", ESP_TRANSPORT, true, true, true},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]), COLUMNS = sizeof(columns) / sizeof(columns[0]) };

struct cell {
    const struct row *row;
    const struct column *column;
    bool esn;
};
enum verdict { NOT_RUN, PASSED, FAILED };

struct trial {
    struct guest g;
    struct esp_engine *e;
    bool card; // it is one
    struct esp_pool *pool;
    struct esp_sa *out, *in;
    struct esp_job job;
    struct echo echo;
    uint64_t seed;
    uint32_t spi;
    struct {
        uint8_t data[FRAME];
        size_t len;
    } sent[PACKETS + EXTRA], came[PACKETS + EXTRA]; // as frames; IP packets behind HEAD
    uint32_t least;                                 // octets of a packet that the engine seals
    unsigned answers;
    unsigned twice, changed; // that the kernel was sent in all
    enum verdict at[ROWS][COLUMNS][2];
    unsigned passed, failed;
};

static const char *cell_name(const struct cell *c, char buf[80])
{
    const char *first = c->row->protocol == ESP_PROTOCOL_AH ? "ah" : esp_alg_name(c->row->alg);
    snprintf(buf, 80, "%s%s%s", first, c->row->integ == ESP_INTEG_NONE ? "" : "-",
             c->row->integ == ESP_INTEG_NONE ? "" : esp_integ_name(c->row->integ));
    return buf;
}

// Octets of question i. In UDP over IPv6 Linux drops ESP of fewer than 40 octets, because it takes the length
// of the IPv6 header for one that the rest of the packet has (xfrm6_udp_encap_rcv): there are no short ones
// there.
static uint32_t asked(const struct cell *c, unsigned i)
{
    return c->column->udp && c->column->outer6 && octets[i] < 8 ? 8 : octets[i];
}

static bool exists(const struct cell *c)
{
    return !(c->row->protocol == ESP_PROTOCOL_AH && c->column->udp);
}

// ---- our end

static uint64_t draw(uint64_t *state) // xorshift: any keys will do, the same in every run of a seed
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void address(uint8_t to[16], bool ipv6, const char *v4, const char *v6)
{
    memset(to, 0, 16);
    inet_pton(ipv6 ? AF_INET6 : AF_INET, ipv6 ? v6 : v4, to);
}

static struct esp_sa_params params(struct trial *t, const struct cell *c, enum esp_dir dir)
{
    static const uint32_t windows[] = {32, 64, 128, 1024};
    const struct column *k = c->column;
    uint32_t spi = ++t->spi;
    struct esp_sa_params p = {.protocol = c->row->protocol,
                              .dir = dir,
                              .mode = k->mode,
                              .alg = c->row->alg,
                              .integ = c->row->integ,
                              .spi = spi,
                              .esn = c->esn,
                              .udp_encap = k->udp,
                              .ipv6 = k->outer6,
                              .inner = k->inner6 ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4,
                              .ttl = 64,
                              .sport = 4500,
                              .dport = 4500,
                              .window = dir == ESP_IN ? windows[spi / 2 % 4] : 0};
    // with extended numbers over the end of 32 bits, the first time or another one
    uint64_t first = !c->esn ? 1 : k->mode == ESP_TUNNEL ? 0xfffffff8u : 0x7fffffff8u;
    p.seq = dir == ESP_OUT ? first : first - 1;
    // with them, and by software, short packets in tunnels are padded (RFC 4303 section 2.7)
    p.tfc = c->esn && dir == ESP_OUT && !t->card && k->mode == ESP_TUNNEL && p.protocol == ESP_PROTOCOL_ESP
                ? TFC
                : 0;
    p.seq_limit = dir == ESP_OUT ? first + 1000 : UINT64_MAX;
    p.seen[0] = p.seq && dir == ESP_IN;
    address(dir == ESP_OUT ? p.src : p.dst, k->outer6, "10.10.0.1", "fd10::1");
    address(dir == ESP_OUT ? p.dst : p.src, k->outer6, "10.10.0.2", "fd10::2");
    for (unsigned i = 0; i < alg_sizes(p.alg).key; i++)
        p.key[i] = (uint8_t)(draw(&t->seed) >> 24);
    for (unsigned i = 0; i < alg_sizes(p.alg).salt; i++)
        p.salt[i] = (uint8_t)(draw(&t->seed) >> 24);
    for (unsigned i = 0; i < integ_sizes(p.integ).key; i++)
        p.integ_key[i] = (uint8_t)(draw(&t->seed) >> 24);
    return p;
}

static bool await_event(struct trial *t, enum esp_event_type type)
{
    struct esp_event ev;
    uint64_t end = mono_us() + PATIENCE_MS * 1000ull;
    while (mono_us() < end) {
        if (t->e->ops->events(t->e, &ev, 1) == 0) {
            t->e->ops->tick(t->e, mono_us() / 1000);
            continue;
        }
        return ev.type == type || complain("event %d: %s %s", ev.type, ev.error.field, ev.error.text);
    }
    return complain("no event from %s", t->e->name);
}

static bool add(struct trial *t, const struct esp_sa_params *p, struct esp_sa **sa)
{
    struct esp_error err = {0};
    if (t->e->ops->sa_add(t->e, p, NULL, sa, &err))
        return complain("sa_add: %s: %s", err.field, err.text);
    return await_event(t, ESP_EVENT_SA_ADDED);
}

static void drop(struct trial *t, struct esp_sa **sa)
{
    if (*sa && t->e->ops->sa_delete(t->e, *sa) == 0)
        await_event(t, ESP_EVENT_SA_DELETED);
    *sa = NULL;
}

// One packet through the engine, from and to IP packets behind HEAD.
static enum esp_status through(struct trial *t, enum esp_op op, const uint8_t *packet, size_t len)
{
    struct esp_job *j = &t->job, *back = NULL;
    uint64_t end = mono_us() + PATIENCE_MS * 1000ull;
    j->op = op;
    j->sa = op == ESP_ENCAP ? t->out : NULL;
    j->in_len = (uint32_t)len;
    memcpy(j->in, packet, len);
    if (esp_submit(t->e, &j, 1) != 1)
        return ESP_STATUS_ABORTED;
    while (!esp_poll(t->e, &back, 1)) {
        if (mono_us() > end)
            return ESP_STATUS_ABORTED;
        t->e->ops->tick(t->e, mono_us() / 1000);
    }
    return j->status;
}

// ---- the wire

static const uint8_t heads[2][HEAD] = {{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00},
                                       {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd}};

static bool seal(struct trial *t, const struct cell *c, unsigned i)
{
    uint8_t inner[FRAME];
    uint32_t len = echo_ask(&t->echo, (uint16_t)i, asked(c, i), inner);
    enum esp_status s = through(t, ESP_ENCAP, inner, len);
    if (s != ESP_STATUS_OK)
        return complain("packet %u is not sealed: %s", i, esp_status_name(s));
    if (t->job.out_len < t->least)
        return complain("packet %u is not padded: %u octets", i, t->job.out_len);
    memcpy(t->sent[i].data, heads[c->column->outer6], HEAD);
    memcpy(t->sent[i].data + HEAD, t->job.out, t->job.out_len);
    t->sent[i].len = HEAD + t->job.out_len;
    return true;
}

static bool send_again(struct trial *t, unsigned i)
{
    return guest_frame(&t->g, t->sent[i].data, t->sent[i].len);
}

enum kind { OTHER, PROTECTED, CLEAR };

static enum kind kind4(const uint8_t *p, const struct cell *c)
{
    uint8_t want = c->column->udp                        ? IPPROTO_UDP
                   : c->row->protocol == ESP_PROTOCOL_AH ? IPPROTO_AH
                                                         : IPPROTO_ESP;
    return p[9] == want ? PROTECTED : CLEAR;
}

// What is of the link itself (neighbours, routers, groups) is no traffic.
static enum kind kind6(const uint8_t *p, const struct cell *c)
{
    uint8_t want = c->column->udp                        ? IPPROTO_UDP
                   : c->row->protocol == ESP_PROTOCOL_AH ? IPPROTO_AH
                                                         : IPPROTO_ESP;
    if (p[6] == 0 || (p[6] == IPPROTO_ICMPV6 && p[40] >= 130 && p[40] <= 143))
        return OTHER;
    return p[6] == want ? PROTECTED : CLEAR;
}

static enum kind kind(const uint8_t *frame, size_t len, const struct cell *c)
{
    uint16_t type = len >= HEAD ? get_be16(frame + 12) : 0;
    if (type == 0x0800 && len >= HEAD + 20)
        return kind4(frame + HEAD, c);
    return type == 0x86dd && len > HEAD + 40 ? kind6(frame + HEAD, c) : OTHER;
}

// What the guest sends until so many protected packets have come; then for a while, that there are no more.
static bool collect(struct trial *t, const struct cell *c, unsigned want)
{
    uint8_t frame[FRAME];
    size_t len;
    for (;;) {
        bool all = t->answers >= want;
        if (!(len = guest_next(&t->g, frame, sizeof(frame), all ? QUIET_MS : PATIENCE_MS)))
            break;
        enum kind k = kind(frame, len, c);
        if (k == CLEAR)
            return complain("the guest sends what is not protected: protocol %u", frame[HEAD + 9]);
        if (k == PROTECTED && t->answers == PACKETS + EXTRA)
            return complain("more answers than questions");
        if (k == PROTECTED) {
            memcpy(t->came[t->answers].data, frame, len);
            t->came[t->answers++].len = len;
        }
    }
    return t->answers == want || complain("%u answers of %u", t->answers, want);
}

// Answer n of the guest, opened: which question it is one to, in *seq.
static bool open_answer(struct trial *t, const struct cell *c, unsigned n, enum esp_status want, int *seq)
{
    enum esp_status s = through(t, ESP_DECAP, t->came[n].data + HEAD, t->came[n].len - HEAD);
    if (s != want)
        return complain("answer %u: %s, expected %s", n, esp_status_name(s), esp_status_name(want));
    if (!seq)
        return true;
    *seq = -1;
    for (unsigned i = 0; i < PACKETS + EXTRA && *seq < 0; i++)
        if (echo_answered(&t->echo, t->job.out, t->job.out_len, asked(c, i)) == (int)i)
            *seq = (int)i;
    return *seq >= 0 || complain("answer %u is one to no question", n);
}

// ---- a cell

static bool tell_kernel(struct trial *t, const struct cell *c, const struct esp_sa_params *out,
                        const struct esp_sa_params *in)
{
    static const char *const inner[2][2] = {{"10.1.0.1", "10.2.0.1"}, {"fd01::1", "fd02::1"}};
    static const char *const outer[2][2] = {{"10.10.0.1", "10.10.0.2"}, {"fd10::1", "fd10::2"}};
    const char *const *who =
        c->column->mode == ESP_TUNNEL ? inner[c->column->inner6] : outer[c->column->outer6];
    char batch[3000], said[600];
    int n = xfrm_state(batch, sizeof(batch), out);
    n += xfrm_state(batch + n, sizeof(batch) - (size_t)n, in);
    xfrm_policies(batch + n, sizeof(batch) - (size_t)n, out, who[0], who[1]);
    t->echo = (struct echo){.ipv6 = c->column->inner6, .id = (uint16_t)out->spi};
    address(t->echo.near, t->echo.ipv6, who[0], who[0]);
    address(t->echo.far, t->echo.ipv6, who[1], who[1]);
    return guest_run(&t->g, said, sizeof(said),
                     "ip xfrm state flush; ip xfrm policy flush; printf '%s' | ip -batch -", batch) == 0 ||
           complain("the guest's kernel refuses it: %s\n%s", said, batch);
}

// All questions, neighbours swapped on the way there and on the way back.
static bool ask_and_open(struct trial *t, const struct cell *c)
{
    bool seen[PACKETS] = {false};
    int seq;
    for (unsigned i = 0; i < PACKETS; i++)
        if (!seal(t, c, i))
            return false;
    for (unsigned i = 0; i < PACKETS; i++)
        if (!send_again(t, i ^ 1))
            return false;
    if (!collect(t, c, PACKETS))
        return false;
    for (unsigned i = 0; i < PACKETS; i++) {
        if (!open_answer(t, c, i ^ 1, ESP_STATUS_OK, &seq))
            return false;
        if (seq >= PACKETS || seen[seq])
            return complain("question %d is answered twice", seq);
        seen[seq] = true;
    }
    return true;
}

// The kernel takes nothing twice and nothing changed, and what was changed on the way is taken when it comes
// as it was.
static bool kernel_refuses(struct trial *t, const struct cell *c)
{
    if (!seal(t, c, PACKETS) || !seal(t, c, PACKETS + 1))
        return false;
    uint8_t *last = &t->sent[PACKETS].data[t->sent[PACKETS].len - 1];
    *last ^= 1;
    bool ok = send_again(t, 2) && send_again(t, PACKETS - 1) && send_again(t, PACKETS);
    *last ^= 1;
    t->twice += 2;
    t->changed += !(c->column->udp && c->column->outer6); // there the UDP checksum is wrong before that
    return ok && send_again(t, PACKETS) && send_again(t, PACKETS + 1) && collect(t, c, PACKETS + EXTRA);
}

static bool engine_refuses(struct trial *t, const struct cell *c)
{
    int seq;
    uint8_t *last = &t->came[PACKETS].data[t->came[PACKETS].len - 1];
    *last ^= 1;
    bool ok = open_answer(t, c, PACKETS, ESP_STATUS_ICV_FAIL, NULL);
    *last ^= 1;
    return ok && open_answer(t, c, PACKETS, ESP_STATUS_OK, &seq) && seq == PACKETS &&
           open_answer(t, c, PACKETS, ESP_STATUS_REPLAY_SEEN, NULL) &&
           open_answer(t, c, PACKETS - 1, ESP_STATUS_REPLAY_SEEN, NULL) &&
           open_answer(t, c, PACKETS + 1, ESP_STATUS_OK, &seq) && seq == PACKETS + 1;
}

static bool run_cell(struct trial *t, const struct cell *c, const struct esp_sa_params *out,
                     const struct esp_sa_params *in)
{
    t->answers = 0;
    t->least = out->tfc;
    bool ok = add(t, out, &t->out) && add(t, in, &t->in) && tell_kernel(t, c, out, in) &&
              ask_and_open(t, c) && kernel_refuses(t, c) && engine_refuses(t, c);
    drop(t, &t->out);
    drop(t, &t->in);
    return ok;
}

// What the kernel has counted where a cell failed.
static void show_kernel(struct trial *t)
{
    char out[8000];
    guest_run(&t->g, out, sizeof(out),
              "ip -s xfrm state; grep -v ' *0$' /proc/net/xfrm_stat; "
              "grep -E '^(Udp|Icmp|Ip):' /proc/net/snmp; grep -E '^(Udp|Icmp|Ip)6.*[^0]$' /proc/net/snmp6");
    fprintf(stderr, "%s\n", out);
}

static void one(struct trial *t, unsigned i, unsigned j, bool esn)
{
    const struct cell c = {&rows[i], &columns[j], esn};
    struct esp_sa_params out = params(t, &c, ESP_OUT), in = params(t, &c, ESP_IN);
    struct esp_error why = {0};
    char name[80];
    if (!exists(&c) || t->e->ops->capable(t->e, &out, &why) || t->e->ops->capable(t->e, &in, &why))
        return;
    uint64_t began = mono_us();
    bool ok = run_cell(t, &c, &out, &in);
    if (!ok)
        show_kernel(t);
    t->at[i][j][esn] = ok ? PASSED : FAILED;
    *(ok ? &t->passed : &t->failed) += 1;
    printf("%-18s %-15s %s: %s (%.1f s)\n", cell_name(&c, name), c.column->name, esn ? "ESN   " : "32 bit",
           ok ? "ok" : "FAILED", (double)(mono_us() - began) / 1e6);
    fflush(stdout);
}

// ---- all of them

static bool guest_network(struct guest *g)
{
    char said[600];
    return guest_run(g, said, sizeof(said),
                     "sysctl -q -w net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.eth0.accept_dad=0 "
                     "net.ipv6.conf.eth0.router_solicitations=0 net.ipv4.icmp_ratelimit=0 "
                     "net.ipv6.icmp.ratelimit=0; "
                     "ip addr add 10.10.0.2/24 dev eth0; ip -6 addr add fd10::2/64 dev eth0 nodad; "
                     "ip addr add 10.2.0.1/32 dev lo; ip -6 addr add fd02::1/128 dev lo; "
                     "ip link set eth0 up; ip neigh add 10.10.0.1 lladdr 02:00:00:00:00:01 dev eth0; "
                     "ip neigh add fd10::1 lladdr 02:00:00:00:00:01 dev eth0; "
                     "ip route add 10.1.0.0/16 via 10.10.0.1; ip -6 route add fd01::/64 via fd10::1 && "
                     "guest_encap") == 0 ||
           complain("the guest's network: %s", said);
}

// Each is counted by the kernel itself (CONFIG_XFRM_STATISTICS).
static bool kernel_counted(struct trial *t)
{
    char out[4096];
    if (guest_run(&t->g, out, sizeof(out), "cat /proc/net/xfrm_stat") != 0)
        return complain("the guest's kernel counts nothing: %s", out);
    for (char *p = out; *p; p++)
        *p = *p == '\t' ? ' ' : *p;
    uint64_t twice = number_after(out, "XfrmInStateSeqError", 0),
             changed = number_after(out, "XfrmInStateProtoError", 0);
    printf("the kernel has refused %llu sent twice of %u, %llu changed of %u\n", (unsigned long long)twice,
           t->twice, (unsigned long long)changed, t->changed);
    return twice == t->twice && changed == t->changed;
}

static bool has_run(const struct trial *t, unsigned row)
{
    for (unsigned j = 0; j < COLUMNS; j++)
        if (t->at[row][j][0] != NOT_RUN || t->at[row][j][1] != NOT_RUN)
            return true;
    return false;
}

static void table(FILE *f, const struct trial *t)
{
    static const char *const word[] = {"–", "ok", "**no**"};
    char name[80];
    fprintf(f, "%s and the kernel of a guest; without ESN / with\n\n| |", t->e->name);
    for (unsigned j = 0; j < COLUMNS; j++)
        fprintf(f, " %s |", columns[j].name);
    fprintf(f, "\n|---|");
    for (unsigned j = 0; j < COLUMNS; j++)
        fprintf(f, "---|");
    for (unsigned i = 0; i < ROWS; i++) {
        const struct cell c = {&rows[i], &columns[0], false};
        if (!has_run(t, i))
            continue;
        fprintf(f, "\n| %s |", cell_name(&c, name));
        for (unsigned j = 0; j < COLUMNS; j++)
            fprintf(f, " %s / %s |", word[t->at[i][j][0]], word[t->at[i][j][1]]);
    }
    fprintf(f, "\n\n%u passed, %u failed\n", t->passed, t->failed);
}

struct options {
    const char *algorithm, *mode;
    bool card;
};

static bool wanted(const char *want, const char *name)
{
    return !want || strcasecmp(want, name) == 0;
}

static bool write_report(const struct trial *t, bool card)
{
    char path[600];
    const char *folder = getenv("ESPALIER_REPORT");
    if (!folder)
        return true;
    snprintf(path, sizeof(path), "%s/guest-esp-%s.md", folder, card ? "card" : "software");
    FILE *f = fopen(path, "w");
    if (f)
        table(f, t);
    return (f && fclose(f) == 0) || complain("cannot write %s", path);
}

// Algorithms of ESP in every mode, AH's in those without UDP, each without and with ESN; the card's two in
// tunnel mode, transport mode and UDP, over IPv4.
enum { SOFTWARE_CELLS = (30 * 10 + 4 * 6) * 2, CARD_CELLS = 2 * 3 * 2 };

static bool all_cells(struct trial *t, const struct options *o)
{
    char name[80];
    for (unsigned i = 0; i < ROWS; i++)
        for (unsigned j = 0; j < COLUMNS; j++)
            for (unsigned esn = 0; esn < 2; esn++) {
                const struct cell c = {&rows[i], &columns[j], esn};
                if (wanted(o->algorithm, cell_name(&c, name)) && wanted(o->mode, columns[j].name))
                    one(t, i, j, esn);
            }
    bool counted = kernel_counted(t);
    table(stdout, t);
    // what an engine takes is its own to say, but not that it takes less than it did
    unsigned least = o->algorithm || o->mode ? 1 : o->card ? CARD_CELLS : SOFTWARE_CELLS;
    if (t->passed + t->failed < least)
        return complain("%s takes %u of at least %u", t->e->name, t->passed + t->failed, least);
    return write_report(t, o->card) && !t->failed && counted;
}

static bool engine_open(struct trial *t, const char *card)
{
    const struct esp_card_options o = {.pci_sysfs = card, .deadline_ms = ESP_NO_DEADLINE};
    struct esp_error err = {0};
    if (card ? esp_card_open(&t->e, &o, &err) : esp_soft_open(&t->e, &err))
        return complain("no engine: %s: %s", err.field, err.text);
    if (esp_pool_create(&t->pool, BUFFERS, FRAME, &err) || t->e->ops->attach_pool(t->e, t->pool, &err))
        return complain("no memory for packets: %s", err.text);
    t->job =
        (struct esp_job){.in = esp_pool_get(t->pool), .out = esp_pool_get(t->pool), .out_cap = FRAME - HEAD};
    return true;
}

static bool options(int argc, char **argv, struct options *o)
{
    const char *engine = getenv("ESPALIER_ENGINE");
    o->card = engine && strcmp(engine, "card") == 0;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--algorithm") == 0 && i + 1 < argc)
            o->algorithm = argv[++i];
        else if (strcmp(argv[i], "--mode") == 0 && i + 1 < argc)
            o->mode = argv[++i];
        else
            return false;
    return true;
}

static bool start(struct trial *t, struct lab *l, bool card)
{
    const struct guest_options g = {.files = getenv("ESPALIER_GUEST"),
                                    .image = getenv("ESPALIER_GUEST_IMAGE")};
    if (!g.files || !g.image)
        return complain("ESPALIER_GUEST and ESPALIER_GUEST_IMAGE name no guest (make check-qemu)");
    if (!guest_start(&t->g, &g) || !guest_network(&t->g))
        return false;
    snprintf(l->dir, sizeof(l->dir), "%s", t->g.dir);
    snprintf(l->card_dir, sizeof(l->card_dir), "%s/pci", t->g.dir);
    t->card = card;
    return (!card || card_start(l, NULL)) && engine_open(t, card ? l->card_dir : NULL);
}

int main(int argc, char **argv)
{
    static struct trial t = {.seed = 0x9e3779b97f4a7c15u, .spi = 0x1000};
    static struct lab l; // of it the card alone
    struct options o = {0};
    if (!options(argc, argv, &o)) {
        fprintf(stderr, "usage: %s [--algorithm NAME] [--mode NAME]\n", argv[0]);
        return 2;
    }
    bool ok = start(&t, &l, o.card) && all_cells(&t, &o);
    if (t.e)
        t.e->ops->destroy(t.e);
    if (t.pool)
        esp_pool_destroy(t.pool);
    stop(&l.card, SIGTERM, 4000);
    guest_stop(&t.g);
    return ok ? 0 : 1;
}
