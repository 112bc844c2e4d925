// SPDX-License-Identifier: Apache-2.0
// What path tells of itself: per child SA for list-sas, counters for stats, and Wireshark's table for
// --debug-keys.
#include "ctrl/path/path.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include "ctrl/lib/child_algs.h"
#include "ctrl/lib/log.h"

static uint32_t seconds_since(const struct path *p, uint64_t at)
{
    return at ? (uint32_t)((loop_now(p->loop) - at) / 1000) : UINT32_MAX;
}

void stats_sa(struct path *p, uint32_t req, const struct child *c)
{
    struct msg_PATH_SA m = {.req = req,
                            .child_id = c->c.child_id,
                            .spi_in = c->c.spi_in,
                            .spi_out = c->c.spi_out,
                            .bytes_in = c->in.bytes,
                            .packets_in = c->in.packets,
                            .use_in_s = seconds_since(p, c->in.used_at),
                            .bytes_out = c->out.bytes,
                            .packets_out = c->out.packets,
                            .use_out_s = seconds_since(p, c->out.used_at),
                            .seq_out = c->out.last_seq,
                            .dummies_out = child_dummies(c) ? child_dummies(c)->sent : 0,
                            .path_since_s = seconds_since(p, c->path_since),
                            .if_id = vti_if_id(&p->spd.vtis, c->vti)};
    snprintf(m.interface, sizeof(m.interface), "%s", vti_name(&p->spd.vtis, c->vti));
    vti_way_text(p, c->policy ? policy_base(c->policy) : NULL, m.route, sizeof(m.route));
    snprintf(m.offload, sizeof(m.offload), "%s", child_offload(c));
    snprintf(m.offload_reason, sizeof(m.offload_reason), "%s", child_reason(c));
    if (c->on_card)
        snprintf(m.card, sizeof(m.card), "%s", p->engines[PATH_CARD].name);
    ipc_send(p->ctl, MSG_PATH_SA, &m);
}

void stats_sas(struct path *p, const struct msg_PATH_LIST *m)
{
    struct reader r = reader_of(m->children);
    bool page = m->children.len <= LIST_PAGE_MAX * sizeof(uint32_t) && ipc_has_room(p->ctl);
    while (page && r.left && !r.bad) {
        uint32_t id = rd_u32(&r);
        const struct child *c = r.bad ? NULL : sadb_by_id(p, id);
        if (c)
            kernel_esp_refresh(p, c);
        if (c && (c = sadb_by_id(p, id))) // what the kernel had to say may have ended it
            stats_sa(p, m->req, c);
    }
    if (page && !r.bad && p->survivors)
        ipc_result(p->ctl, m->req, true, "%u", p->survivors);
    else
        ipc_result(p->ctl, m->req, page && !r.bad, "%s",
                   !page   ? "more SAs than a page holds, or no room for them"
                   : r.bad ? "malformed list"
                           : "");
}

struct text {
    size_t len;
    unsigned left_out; // lines that there was no room for
    char buf[16384];
};
enum { TEXT_END = 64 }; // of the room: for how many these are

__attribute__((format(printf, 3, 4))) static void put(struct text *t, uint64_t value, const char *name_fmt,
                                                      ...)
{
    char name[96];
    va_list ap;
    va_start(ap, name_fmt);
    vsnprintf(name, sizeof(name), name_fmt, ap);
    va_end(ap);
    size_t room = sizeof(t->buf) - TEXT_END - t->len;
    int n = snprintf(t->buf + t->len, room, "%s %llu\n", name, (unsigned long long)value);
    if (n > 0 && (size_t)n < room)
        t->len += (size_t)n;
    else
        t->left_out++;
}

static void put_left_out(struct text *t)
{
    t->len += (size_t)snprintf(t->buf + t->len, TEXT_END, "counters_left_out %u\n", t->left_out);
}

// Of all workers: the counter that stands there in each.
static uint64_t total(const struct path *p, size_t offset)
{
    uint64_t sum = 0, one;
    for (unsigned i = 0; i < p->workers; i++) {
        memcpy(&one, (const char *)&p->worker[i] + offset, sizeof(one));
        sum += one;
    }
    return sum;
}
#define TOTAL(p, field) total(p, offsetof(struct worker, field))

static void put_engine(struct text *t, const struct path *p, const char *name, int engine)
{
    size_t at = offsetof(struct worker, count) + (size_t)engine * sizeof(struct engine_count);
    put(t, total(p, at + offsetof(struct engine_count, packets_out)), "%s_packets_out", name);
    put(t, total(p, at + offsetof(struct engine_count, bytes_out)), "%s_bytes_out", name);
    put(t, total(p, at + offsetof(struct engine_count, packets_in)), "%s_packets_in", name);
    put(t, total(p, at + offsetof(struct engine_count, bytes_in)), "%s_bytes_in", name);
}

static void put_drops(struct text *t, const struct path *p, const char *dir, size_t at)
{
    for (size_t i = 1; i < ESP_STATUS_BAD_OPCODE; i++) {
        uint64_t n = total(p, at + i * sizeof(uint64_t));
        if (n)
            put(t, n, "drop_%s_%s", dir, esp_status_name((enum esp_status)i));
    }
}

// What the kernel had no room for on its way to us.
static void put_lost(struct text *t, const struct path *p)
{
    static const char *const names[PATH_SOCKETS] = {
        [PATH_UDP] = "udp",   [PATH_UDP6] = "udp6", [PATH_ESP] = "esp",
        [PATH_ESP6] = "esp6", [PATH_AH] = "ah",     [PATH_AH6] = "ah6"};
    uint64_t n = 0;
    if (p->kernel && p->kernel->ops->tun_lost && p->kernel->ops->tun_lost(p->kernel, &n) == 0)
        put(t, n, "tun_queue_full");
    for (int s = 0; s < PATH_SOCKETS; s++) {
        n = 0;
        for (unsigned i = 0; i < p->workers; i++) {
            const struct path_net *net = &p->worker[i].net;
            n += net->lost ? net->lost(net->ctx, (enum path_socket)s) : 0;
        }
        if (n)
            put(t, n, "receive_queue_full_%s", names[s]);
    }
}

// What cards count, this one and those before it.
static void put_cards(struct text *t, struct path *p)
{
    char buf[8192];
    int n = path_card(p) ? path_card(p)->ops->counters(path_card(p), buf, sizeof(buf)) : 0;
    if (n > 0 && (size_t)n < sizeof(buf))
        card_totals_take(&p->card_totals, buf, (size_t)n);
    t->left_out += p->card_totals.left_out + (n > 0 && (size_t)n >= sizeof(buf));
    for (unsigned i = 0; i < p->card_totals.count; i++)
        put(t, p->card_totals.t[i].before + p->card_totals.t[i].now, "%s", p->card_totals.t[i].name);
}

void stats_counters(struct path *p, uint32_t req)
{
    struct text t;
    unsigned sas = 0, on_card = 0, kernel = 0;
    t.len = t.left_out = 0;
    for (struct child *c = p->children; c; c = c->next) {
        sas++;
        on_card += c->on_card;
        kernel += c->in_kernel;
    }
    put(&t, sas, "child_sas");
    put(&t, on_card, "child_sas_on_card");
    put(&t, kernel, "child_sas_in_kernel");
    put(&t, path_card(p) != NULL, "card_present");
    put_engine(&t, p, "card", PATH_CARD);
    put_engine(&t, p, "software", PATH_SOFT);
    put_engine(&t, p, "kernel", PATH_KERNEL);
    put_drops(&t, p, "out", offsetof(struct worker, drop_out));
    put_drops(&t, p, "in", offsetof(struct worker, drop_in));
    put(&t, TOTAL(p, no_sa_out), "protected_without_sa");
    put(&t, TOTAL(p, fenced), "fleet_not_ours");
    put(&t, TOTAL(p, vti_no_policy), "vti_no_policy");
    put(&t, TOTAL(p, vti_own), "vti_own_traffic");
    put(&t, TOTAL(p, past_us), "past_us");
    put(&t, TOTAL(p, past_us_refused), "past_us_refused");
    put(&t, TOTAL(p, prohibited), "icmp_prohibited");
    put(&t, TOTAL(p, too_big), "icmp_too_big");
    put(&t, TOTAL(p, fragmented_before), "fragmented_before_encryption");
    put(&t, TOTAL(p, fragmented_after), "fragmented_after_encryption");
    put(&t, TOTAL(p, fragments), "fragments_made");
    put(&t, TOTAL(p, mss_clamped), "mss_clamped");
    put(&t, TOTAL(p, dummies), "dummies_sent");
    put(&t, TOTAL(p, big_reads), "tun_big_reads");
    put(&t, TOTAL(p, big_writes), "tun_big_writes");
    put(&t, TOTAL(p, taken_apart), "received_together");
    put(&t, TOTAL(p, sockets.receiver.calls_made), "receive_calls");
    put(&t, TOTAL(p, ike_handed_on), "ike_handed_on");
    put(&t, TOTAL(p, ike_lost), "ike_lost");
    put(&t, TOTAL(p, notes.full), "notes_full");
    put(&t, TOTAL(p, flows.hits), "flow_hits");
    put(&t, TOTAL(p, flows.misses), "flow_misses");
    put(&t, TOTAL(p, flows.later_unknown), "fragments_without_first");
    put(&t, TOTAL(p, orphans_late), "fragments_first_missing");
    put(&t, TOTAL(p, orphans_displaced), "fragments_displaced");
    put(&t, TOTAL(p, keepalives), "keepalives");
    put(&t, TOTAL(p, queue_full), "queue_full");
    if (p->workers > 1) {
        put(&t, TOTAL(p, handed_over), "handed_over");
        put(&t, TOTAL(p, hand_full), "hand_full");
    }
    put_lost(&t, p);
    put(&t, TOTAL(p, send_full), "send_full");
    put(&t, TOTAL(p, send_too_long), "send_too_long");
    put(&t, TOTAL(p, send_refused), "send_refused");
    put(&t, TOTAL(p, send_unreachable), "send_unreachable");
    put(&t, TOTAL(p, send_errors), "send_errors");
    put(&t, TOTAL(p, sockets.sender.calls_made), "send_calls");
    put(&t, TOTAL(p, sockets.sender.cut_packets), "sent_together");
    put(&t, TOTAL(p, sockets.sender.cut_refused), "send_together_refused");
    put(&t, TOTAL(p, tun_errors), "tun_errors");
    put(&t, p->failovers, "failovers");
    put(&t, p->failover_moved, "failover_sas_moved");
    put(&t, TOTAL(p, rerun), "failover_packets_rerun");
    put(&t, p->busiest_in, "card_busiest_in");
    put(&t, p->idlest_out, "card_idlest_out");
    put(&t, p->failover_detect_us, "failover_last_completion_to_detection_us");
    put(&t, p->failover_resume_us, "failover_detection_to_first_packet_us");
    put_cards(&t, p);
    put_left_out(&t);
    ipc_send(p->ctl, MSG_PATH_STATS_IS,
             &(struct msg_PATH_STATS_IS){.req = req, .counters = slice_of(t.buf, t.len)});
    ipc_result(p->ctl, req, true, "%s", "");
}

// Wireshark's names; NULL: it cannot open that.
static const char *cipher_name(enum esp_alg a)
{
    const char *n = esp_alg_name(a);
    if (a == ESP_ALG_CHACHA20_POLY1305)
        return "ChaCha20 with Poly1305 [RFC7634]";
    if (a == ESP_ALG_NULL)
        return "NULL";
    if (strstr(n, "ccm") || strstr(n, "gmac"))
        return NULL;
    if (strstr(n, "ctr"))
        return "AES-CTR [RFC3686]";
    if (!strstr(n, "gcm"))
        return "AES-CBC [RFC3602]";
    return strstr(n, "gcm16")   ? "AES-GCM with 16 octet ICV [RFC4106]"
           : strstr(n, "gcm12") ? "AES-GCM with 12 octet ICV [RFC4106]"
                                : "AES-GCM with 8 octet ICV [RFC4106]";
}

static const char *integ_name(enum esp_integ a)
{
    switch (a) {
    case ESP_INTEG_HMAC_SHA1_96: return "HMAC-SHA-1-96 [RFC2404]";
    case ESP_INTEG_HMAC_SHA256_128: return "HMAC-SHA-256-128 [RFC4868]";
    case ESP_INTEG_HMAC_SHA384_192: return "HMAC-SHA-384-192 [RFC4868]";
    case ESP_INTEG_HMAC_SHA512_256: return "HMAC-SHA-512-256 [RFC4868]";
    default: return "NULL";
    }
}

static size_t put_hex(char *to, const uint8_t *p, size_t n)
{
    to[0] = 0;
    for (size_t i = 0; i < n; i++)
        snprintf(to + 2 * i, 3, "%02x", p[i]);
    return 2 * n;
}

// One line of Wireshark's esp_sa table: the addresses, the SPI, the algorithms and keys, key || salt. 0:
// there is none.
static int sa_line(char *line, size_t size, const struct child_algs *algs, const struct esp_sa_params *s)
{
    struct addr src = {.family = s->ipv6 ? 6 : 4}, dst = src;
    char a[64], b[64], key[2 * (ESP_MAX_KEY + 4) + 1], integ[2 * ESP_MAX_INTEG_KEY + 1];
    const char *alg = algs->ah ? NULL : cipher_name(s->alg);
    if (!alg)
        return 0;
    memcpy(src.a, s->src, 16);
    memcpy(dst.a, s->dst, 16);
    put_hex(key + put_hex(key, s->key, algs->key), s->salt, algs->salt);
    put_hex(integ, s->integ_key, algs->integ_key);
    // The ninth field is younger than some Wiresharks, which complain of it, and "32-bit" where it is absent.
    int len = snprintf(line, size, "\"%s\",\"%s\",\"%s\",\"0x%08x\",\"%s\",\"%s%s\",\"%s\",\"%s%s\"%s\n",
                       s->ipv6 ? "IPv6" : "IPv4", addr_print(&src, a, sizeof(a)),
                       addr_print(&dst, b, sizeof(b)), s->spi, alg, key[0] ? "0x" : "", key,
                       integ_name(s->integ), integ[0] ? "0x" : "", integ, s->esn ? ",\"64-bit\"" : "");
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(integ, sizeof(integ));
    return len;
}

void debug_keys_write(struct path *p, const struct child *c)
{
    char path[240], line[640];
    const struct half *both[] = {&c->out, &c->in};
    struct esp_sa_params params;
    struct child_algs algs = child_algs(c->c.encr, c->c.encr_bits, c->c.integ);
    if (!p->set.debug_keys[0])
        return;
    snprintf(path, sizeof(path), "%s/esp_sa", p->set.debug_keys);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        LOGF(ESP, 0, "cannot write %s: %s", path, strerror(errno));
        return;
    }
    for (int i = 0; i < 2; i++) {
        sadb_params(both[i], &params);
        int n = sa_line(line, sizeof(line), &algs, &params);
        if (n < 0 || write(fd, line, (size_t)n) != n)
            LOGF(ESP, 0, "cannot write %s: %s", path, strerror(errno));
    }
    OPENSSL_cleanse(&params, sizeof(params));
    OPENSSL_cleanse(line, sizeof(line));
    close(fd);
}
