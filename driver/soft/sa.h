// SPDX-License-Identifier: Apache-2.0
// An SA of the software engine, and the table that finds inbound ones by SPI. Fields of the packet path come
// first. There may be a hundred thousand of them: each is as long as its direction and its window ask for.
#ifndef ESPALIER_SOFT_SA_H
#define ESPALIER_SOFT_SA_H

#include <stdbool.h>

#include "driver/common/event_queue.h"
#include "driver/common/window.h"
#include "driver/soft/ah.h"
#include "driver/soft/crypt.h"
#include "driver/soft/ip.h"
#include "espalier/engine.h"

enum soft_op { SOFT_ADD, SOFT_DELETE, SOFT_QUERY, SOFT_LEASE, SOFT_ENDPOINT };
struct soft_command { // on its way to the queue; all but DELETE have more behind it (struct soft_order)
    struct soft_command *next;
    enum soft_op op;
};
struct soft_ends { // of an inbound SA, and of an outbound one in transport mode
    uint8_t src[16], dst[16];
};
struct esp_sa {
    union {
        struct crypt crypt; // of ESP
        struct ah ah;       // is_ah
    };
    uint32_t spi;
    uint16_t queue;
    uint8_t dir; // enum esp_dir
    bool is_ah;
    bool transport, ipv6; // ipv6: of the outer header
    uint8_t inner;        // ESP_FAMILY_* that may be inside a tunnel
    uint8_t ttl;
    bool esn, udp_encap, df_clear, no_dscp_copy, no_ecn, dscp_decap;
    bool draining;
    bool closing; // of the engine's thread: its deletion has been asked for

    union {
        struct { // outbound
            uint64_t next_seq, seq_limit, lease_low_from;
            uint64_t limit_asked; // of the engine's thread
            union {
                uint8_t header[IP6_HEADER + UDP_HEADER + ESP_HEADER]; // of a tunnel
                struct {                                              // in transport mode
                    uint8_t behind_ip[UDP_HEADER + ESP_HEADER];
                    struct soft_ends must; // its packets have these
                };
            };
            uint32_t header_sum; // one's complement sum of the fixed fields of the outer IPv4 header
            uint16_t id_offset;  // IPv4 ID less the sequence number
            uint16_t tfc;        // padded to, as in esp_sa_params
            uint8_t header_len;  // IP, and UDP with encapsulation
        };
        struct { // inbound
            struct window window;
            struct soft_ends ends;
            uint16_t sport, dport;
            bool asked_ipv6; // both of the engine's thread: where it goes once its queue has been told
            uint8_t asked_dst[16];
            struct esp_sa *hash_next;
        };
    };

    uint64_t packets, bytes, drops;
    uint64_t soft_bytes, hard_bytes, soft_packets, hard_packets; // none: UINT64_MAX
    void *cookie;
    // of the engine's thread
    struct esp_sa *prev, *next; // all SAs of the engine
    // Its deletion, which always finds memory so, and once that has come the event that answers it.
    union {
        struct soft_command farewell;
        struct event_node deleted;
    };
    uint64_t bits[]; // inbound: of its window
};

struct esp_sa *soft_sa_new(const struct esp_sa_params *p, struct mb *mb,
                           struct esp_error *err); // mb: as crypt_init
void soft_sa_free(struct esp_sa *sa);              // zeroises it
void soft_sa_wipe(struct esp_sa *sa);              // its keys alone; it must not be used any more
void soft_sa_set_endpoint(struct esp_sa *sa, const struct esp_endpoint *to);
void soft_sa_ask_endpoint(struct esp_sa *sa, const struct esp_endpoint *to); // it will have that one
void soft_sa_hand_over(const struct esp_sa *sa, uint64_t *seq, uint64_t *seen);

// One packet; fills the job's results. Drops are counted by the caller.
enum esp_status soft_encap(struct esp_sa *sa, struct esp_job *job);
struct spi_table;
// scratch: 64 KiB of the engine, for plaintext that the job's buffer has no room for.
enum esp_status soft_decap(struct spi_table *spis, struct esp_job *job, uint8_t *scratch);

// Limits: would a packet of these inner bytes be one too many; count it; is a soft limit reached.
static inline bool sa_hard(const struct esp_sa *sa, uint64_t bytes)
{
    return sa->packets >= sa->hard_packets || sa->bytes + bytes > sa->hard_bytes;
}

static inline void sa_count(struct esp_sa *sa, uint64_t bytes)
{
    sa->packets++;
    sa->bytes += bytes;
}

static inline bool sa_soft(const struct esp_sa *sa)
{
    return sa->packets >= sa->soft_packets || sa->bytes >= sa->soft_bytes;
}

struct spi_table {
    struct esp_sa **bucket;
    size_t size, count; // size: a power of two
};
int spi_table_init(struct spi_table *t);
void spi_table_free(struct spi_table *t);
int spi_table_add(struct spi_table *t, struct esp_sa *sa); // 0, -EEXIST, -ENOMEM
void spi_table_remove(struct spi_table *t, struct esp_sa *sa);
// The SA with this SPI and destination; else any with this SPI; else NULL.
struct esp_sa *spi_table_find(const struct spi_table *t, uint32_t spi, bool v6, const uint8_t *dst);
// Of an inbound SA.
static inline bool sa_is_for(const struct esp_sa *sa, bool v6, const uint8_t *dst)
{
    return sa->ipv6 == v6 && memcmp(sa->ends.dst, dst, ip_addr_octets(v6)) == 0;
}

#endif
