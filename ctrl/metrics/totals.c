// SPDX-License-Identifier: Apache-2.0
#include "ctrl/metrics/totals.h"

#include <stdio.h>
#include <stdlib.h>

#include "espalier/engine.h"

enum kind { PLAIN, MICROSECONDS, ZERO_TOO, NOT_TOLD };
struct line {
    const char *name;
    enum family family;
    const char *label[4]; // name, value, ...
    enum kind kind;       // ZERO_TOO: absent means zero
};
static const struct line known[] = {
    // ike
    {"ike_init_in_req", FAM_IKE_REQUESTS, {"exchange", "IKE_SA_INIT", "direction", "received"}, PLAIN},
    {"ike_init_out_req", FAM_IKE_REQUESTS, {"exchange", "IKE_SA_INIT", "direction", "sent"}, PLAIN},
    {"ike_auth_in_req", FAM_IKE_REQUESTS, {"exchange", "IKE_AUTH", "direction", "received"}, PLAIN},
    {"ike_auth_out_req", FAM_IKE_REQUESTS, {"exchange", "IKE_AUTH", "direction", "sent"}, PLAIN},
    {"create_child_in_req",
     FAM_IKE_REQUESTS,
     {"exchange", "CREATE_CHILD_SA", "direction", "received"},
     PLAIN},
    {"create_child_out_req", FAM_IKE_REQUESTS, {"exchange", "CREATE_CHILD_SA", "direction", "sent"}, PLAIN},
    {"info_in_req", FAM_IKE_REQUESTS, {"exchange", "INFORMATIONAL", "direction", "received"}, PLAIN},
    {"info_out_req", FAM_IKE_REQUESTS, {"exchange", "INFORMATIONAL", "direction", "sent"}, PLAIN},
    {"child_rekeyed", FAM_IKE_CHILD_REKEYED, {0}, PLAIN},
    {"ike_rekeyed", FAM_IKE_REKEYED, {0}, PLAIN},
    {"retransmits", FAM_IKE_RETRANSMITS, {0}, PLAIN},
    {"repeats", FAM_IKE_REPEATS, {0}, PLAIN},
    {"established", FAM_IKE_ESTABLISHED, {0}, PLAIN},
    {"failed", FAM_IKE_FAILED, {0}, PLAIN},
    {"resumed", FAM_IKE_RESUMED, {0}, PLAIN},
    {"tickets_refused", FAM_IKE_TICKETS_REFUSED, {0}, PLAIN},
    {"auth_failed", FAM_IKE_AUTH_FAILED, {0}, PLAIN},
    {"dropped_malformed", FAM_IKE_DROPPED, {"reason", "malformed"}, PLAIN},
    {"dropped_unknown", FAM_IKE_DROPPED, {"reason", "unknown_sa"}, PLAIN},
    {"dropped_state", FAM_IKE_DROPPED, {"reason", "state"}, PLAIN},
    {"dropped_integrity", FAM_IKE_DROPPED, {"reason", "integrity"}, PLAIN},
    {"dropped_limit", FAM_IKE_DROPPED, {"reason", "limit"}, PLAIN},
    {"unknown_spi", FAM_UNKNOWN_SPI, {0}, PLAIN},
    {"fragments_in", FAM_IKE_FRAGMENTS, {0}, PLAIN},
    {"fragments_dropped", FAM_IKE_FRAGMENTS_DROPPED, {0}, PLAIN},
    {"fragments_evicted", FAM_IKE_INCOMPLETE, {"reason", "memory"}, PLAIN},
    {"fragments_overdue", FAM_IKE_INCOMPLETE, {"reason", "time"}, PLAIN},
    {"fragmented_in", FAM_IKE_FRAGMENTED, {"direction", "received"}, PLAIN},
    {"fragmented_out", FAM_IKE_FRAGMENTED, {"direction", "sent"}, PLAIN},
    {"cookies_sent", FAM_IKE_COOKIES, {0}, PLAIN},
    {"child_installed", FAM_IKE_CHILD_INSTALLED, {0}, PLAIN},
    {"child_failed", FAM_IKE_CHILD_FAILED, {0}, PLAIN},
    {"dpd_sent", FAM_IKE_LIVENESS, {0}, PLAIN},
    {"log_left_out", FAM_LOG_DROPPED, {"reason", "limit"}, PLAIN},
    {"log_dropped", FAM_LOG_DROPPED, {"reason", "reader"}, PLAIN},
    {"alerts_left_out", FAM_LOG_DROPPED, {"reason", "alert"}, PLAIN},
    // path
    {"child_sas", FAM_ENGINE_SAS, {0}, NOT_TOLD}, // these are told apart by engine
    {"child_sas_on_card", FAM_ENGINE_SAS, {0}, NOT_TOLD},
    {"child_sas_in_kernel", FAM_ENGINE_SAS, {0}, NOT_TOLD},
    {"card_present", FAM_CARD_PRESENT, {0}, PLAIN},
    {"counters_left_out", FAM_LEFT_OUT, {"list", "counters"}, PLAIN},
    {"card_packets_out", FAM_ENGINE_PACKETS, {"engine", "card", "direction", "sent"}, PLAIN},
    {"card_bytes_out", FAM_ENGINE_BYTES, {"engine", "card", "direction", "sent"}, PLAIN},
    {"card_packets_in", FAM_ENGINE_PACKETS, {"engine", "card", "direction", "received"}, PLAIN},
    {"card_bytes_in", FAM_ENGINE_BYTES, {"engine", "card", "direction", "received"}, PLAIN},
    {"software_packets_out", FAM_ENGINE_PACKETS, {"engine", "software", "direction", "sent"}, PLAIN},
    {"software_bytes_out", FAM_ENGINE_BYTES, {"engine", "software", "direction", "sent"}, PLAIN},
    {"software_packets_in", FAM_ENGINE_PACKETS, {"engine", "software", "direction", "received"}, PLAIN},
    {"software_bytes_in", FAM_ENGINE_BYTES, {"engine", "software", "direction", "received"}, PLAIN},
    {"kernel_packets_out", FAM_ENGINE_PACKETS, {"engine", "kernel", "direction", "sent"}, PLAIN},
    {"kernel_bytes_out", FAM_ENGINE_BYTES, {"engine", "kernel", "direction", "sent"}, PLAIN},
    {"kernel_packets_in", FAM_ENGINE_PACKETS, {"engine", "kernel", "direction", "received"}, PLAIN},
    {"kernel_bytes_in", FAM_ENGINE_BYTES, {"engine", "kernel", "direction", "received"}, PLAIN},
    {"protected_without_sa", FAM_UNPROTECTED, {0}, PLAIN},
    {"past_us", FAM_PAST_US, {"result", "sent"}, PLAIN},
    {"past_us_refused", FAM_PAST_US, {"result", "refused"}, PLAIN},
    {"fleet_not_ours", FAM_FLEET_NOT_OURS, {0}, PLAIN},
    {"vti_no_policy", FAM_ROUTE_BASED_DROPS, {"reason", "no_policy"}, PLAIN},
    {"vti_own_traffic", FAM_ROUTE_BASED_DROPS, {"reason", "own_traffic"}, PLAIN},
    {"icmp_prohibited", FAM_ICMP_SENT, {"type", "prohibited"}, PLAIN},
    {"icmp_too_big", FAM_ICMP_SENT, {"type", "too_big"}, PLAIN},
    {"fragmented_before_encryption", FAM_FRAGMENTED, {"encryption", "before"}, PLAIN},
    {"fragmented_after_encryption", FAM_FRAGMENTED, {"encryption", "after"}, PLAIN},
    {"fragments_made", FAM_FRAGMENTS, {0}, PLAIN},
    {"mss_clamped", FAM_MSS_CLAMPED, {0}, PLAIN},
    {"dummies_sent", FAM_DUMMIES, {0}, PLAIN},
    {"tun_big_reads", FAM_TOGETHER, {"place", "tun_read"}, PLAIN},
    {"tun_big_writes", FAM_TOGETHER, {"place", "tun_write"}, PLAIN},
    {"received_together", FAM_TOGETHER, {"place", "received"}, PLAIN},
    {"sent_together", FAM_TOGETHER, {"place", "sent"}, PLAIN},
    {"send_together_refused", FAM_TOGETHER, {"place", "send_refused"}, PLAIN},
    {"receive_calls", FAM_CALLS, {"direction", "received"}, PLAIN},
    {"send_calls", FAM_CALLS, {"direction", "sent"}, PLAIN},
    {"ike_handed_on", FAM_TOGETHER, {"place", "ike_received"}, PLAIN},
    {"ike_lost", FAM_IKE_DROPPED, {"reason", "not_read"}, PLAIN},
    {"flow_hits", FAM_FLOW_LOOKUPS, {"result", "hit"}, PLAIN},
    {"flow_misses", FAM_FLOW_LOOKUPS, {"result", "miss"}, PLAIN},
    {"fragments_without_first", FAM_LATE_FRAGMENTS, {0}, PLAIN},
    {"fragments_first_missing", FAM_LOST_FRAGMENTS, {"reason", "first_missing"}, PLAIN},
    {"fragments_displaced", FAM_LOST_FRAGMENTS, {"reason", "displaced"}, PLAIN},
    {"keepalives", FAM_KEEPALIVES, {0}, PLAIN},
    {"queue_full", FAM_QUEUE_DROPS, {"queue", "path"}, PLAIN},
    {"handed_over", FAM_TOGETHER, {"place", "worker"}, ZERO_TOO},
    {"hand_full", FAM_QUEUE_DROPS, {"queue", "worker"}, ZERO_TOO},
    {"notes_full", FAM_NOTES_FULL, {0}, PLAIN},
    {"tun_queue_full", FAM_QUEUE_DROPS, {"queue", "tun"}, PLAIN},
    {"receive_queue_full_udp", FAM_QUEUE_DROPS, {"queue", "udp"}, ZERO_TOO},
    {"receive_queue_full_udp6", FAM_QUEUE_DROPS, {"queue", "udp6"}, ZERO_TOO},
    {"receive_queue_full_esp", FAM_QUEUE_DROPS, {"queue", "esp"}, ZERO_TOO},
    {"receive_queue_full_esp6", FAM_QUEUE_DROPS, {"queue", "esp6"}, ZERO_TOO},
    {"receive_queue_full_ah", FAM_QUEUE_DROPS, {"queue", "ah"}, ZERO_TOO},
    {"receive_queue_full_ah6", FAM_QUEUE_DROPS, {"queue", "ah6"}, ZERO_TOO},
    {"send_full", FAM_SEND_ERRORS, {"reason", "full"}, PLAIN},
    {"send_too_long", FAM_SEND_ERRORS, {"reason", "too_long"}, PLAIN},
    {"send_refused", FAM_SEND_ERRORS, {"reason", "refused"}, PLAIN},
    {"send_unreachable", FAM_SEND_ERRORS, {"reason", "unreachable"}, PLAIN},
    {"send_errors", FAM_SEND_ERRORS, {"reason", "other"}, PLAIN},
    {"tun_errors", FAM_TUN_ERRORS, {0}, PLAIN},
    {"failovers", FAM_FAILOVERS, {0}, PLAIN},
    {"failover_sas_moved", FAM_FAILOVER_SAS, {0}, PLAIN},
    {"failover_packets_rerun", FAM_FAILOVER_RERUN, {0}, PLAIN},
    {"card_busiest_in", FAM_CARD_MOVES, {"engine", "card"}, PLAIN},
    {"card_idlest_out", FAM_CARD_MOVES, {"engine", "software"}, PLAIN},
    {"failover_last_completion_to_detection_us", FAM_FAILOVER_DETECTED, {0}, MICROSECONDS},
    {"failover_detection_to_first_packet_us", FAM_FAILOVER_RESUMED, {0}, MICROSECONDS},
};
enum { KNOWN = sizeof(known) / sizeof(known[0]), DROP_REASONS = ESP_STATUS_BAD_OPCODE };
static const char drop_prefix[] = "drop_";

struct walk { // over the lines of one answer
    struct exposition *e;
    bool seen[KNOWN];
    uint64_t sas, sas_on_card, sas_in_kernel;
    uint64_t drops[2][DROP_REASONS]; // out, in
    bool path;
};

static void tell(struct exposition *e, const struct line *k, uint64_t value)
{
    struct labels l = labels_none();
    for (int i = 0; i < 4 && k->label[i]; i += 2)
        labels_add(&l, k->label[i], k->label[i + 1]);
    if (k->kind == MICROSECONDS)
        exposition_add_real(e, k->family, &l, (double)value / 1e6);
    else
        exposition_add(e, k->family, &l, value);
}

// drop_out_REASON, drop_in_REASON
static bool take_drop(struct walk *w, const char *name, uint64_t value)
{
    bool out = strncmp(name, "drop_out_", 9) == 0, in = strncmp(name, "drop_in_", 8) == 0;
    for (int i = 1; (out || in) && i < DROP_REASONS; i++) {
        const char *reason = esp_status_name((enum esp_status)i);
        if (strcmp(name + (out ? 9 : 8), reason) == 0) {
            w->drops[in][i] = value;
            return true;
        }
    }
    return false;
}

static int find(const char *name)
{
    for (int i = 0; i < KNOWN; i++)
        if (strcmp(known[i].name, name) == 0)
            return i;
    return -1;
}

bool totals_knows(const char *line)
{
    return find(line) >= 0 || strncmp(line, drop_prefix, sizeof(drop_prefix) - 1) == 0;
}

static void take(struct walk *w, const char *name, uint64_t value)
{
    int i = find(name);
    if (i >= 0) {
        w->seen[i] = true;
        if (known[i].kind != NOT_TOLD)
            tell(w->e, &known[i], value);
        else
            *(strcmp(name, "child_sas") == 0           ? &w->sas
              : strcmp(name, "child_sas_on_card") == 0 ? &w->sas_on_card
                                                       : &w->sas_in_kernel) = value;
    } else if (!take_drop(w, name, value) && w->path) {
        struct labels l = labels_none();
        labels_add(&l, "name", name);
        exposition_add(w->e, FAM_CARD_EVENTS, &l, value);
    }
}

static void take_lines(struct walk *w, struct slice text)
{
    while (text.len) {
        char line[128], *end;
        const uint8_t *stop = memchr(text.p, '\n', text.len);
        size_t n = stop ? (size_t)(stop - text.p) : text.len;
        snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) ? n : sizeof(line) - 1),
                 (const char *)text.p);
        char *blank = strrchr(line, ' ');
        if (blank && blank != line) {
            uint64_t value = strtoull(blank + 1, &end, 10);
            *blank = 0;
            if (end != blank + 1 && !*end)
                take(w, line, value);
        }
        n += stop != NULL;
        text = slice_of(text.p + n, text.len - n);
    }
}

static void add_handshakes(struct exposition *e, struct slice s)
{
    static const double bounds[] = {
#define X(us) us / 1e6,
        HANDSHAKE_LIST(X)
#undef X
    };
    uint64_t counts[HANDSHAKE_COUNT + 1];
    struct reader r = reader_of(s);
    uint64_t us = rd_u64(&r);
    for (unsigned i = 0; i <= HANDSHAKE_COUNT; i++)
        counts[i] = rd_u64(&r);
    if (rd_done(&r))
        exposition_add_histogram(e, FAM_IKE_HANDSHAKE, bounds, counts, HANDSHAKE_COUNT, (double)us / 1e6);
}

void totals_ike(struct exposition *e, const struct msg_IKE_STATS_IS *m)
{
    struct walk w = {.e = e};
    struct labels none = labels_none();
    exposition_add(e, FAM_IKE_SAS, &none, m->total);
    exposition_add(e, FAM_IKE_HALF_OPEN, &none, m->half_open);
    take_lines(&w, m->counters);
    add_handshakes(e, m->handshakes);
}

static void add_engine_sas(struct exposition *e, const char *engine, uint64_t n)
{
    struct labels l = labels_none();
    labels_add(&l, "engine", engine);
    exposition_add(e, FAM_ENGINE_SAS, &l, n);
}

static void add_drops(const struct walk *w)
{
    for (int in = 0; in < 2; in++) {
        for (int i = 1; i < DROP_REASONS; i++) {
            const char *reason = esp_status_name((enum esp_status)i);
            struct labels l = labels_none();
            if (strcmp(reason, esp_status_name((enum esp_status)DROP_REASONS - 1)) == 0)
                continue; // a number that has no reason
            labels_add(&l, "direction", in ? "received" : "sent");
            labels_add(&l, "reason", reason);
            exposition_add(w->e, FAM_DROPPED, &l, w->drops[in][i]);
        }
    }
}

void totals_path(struct exposition *e, const struct msg_PATH_STATS_IS *m)
{
    struct walk w = {.e = e, .path = true};
    take_lines(&w, m->counters);
    for (int i = 0; i < KNOWN; i++)
        if (known[i].kind == ZERO_TOO && !w.seen[i])
            tell(e, &known[i], 0);
    add_engine_sas(e, "card", w.sas_on_card);
    add_engine_sas(e, "kernel", w.sas_in_kernel);
    add_engine_sas(e, "software", w.sas - w.sas_on_card - w.sas_in_kernel);
    add_drops(&w);
}
