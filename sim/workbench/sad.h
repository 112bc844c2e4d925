// SPDX-License-Identifier: Apache-2.0
// The SAs and policies of a replay, read from an `ip -batch` file (iproute2's `xfrm state add`, `xfrm policy
// add`). Ports and SPIs are numbers in host order, addresses octets: IPv4 in the first four, the rest zero.
#ifndef SIM_WORKBENCH_SAD_H
#define SIM_WORKBENCH_SAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "espalier/engine.h"

struct sad_selector {
    uint8_t family; // ESP_FAMILY_*; 0: either
    uint8_t src[16], dst[16];
    unsigned src_bits, dst_bits;
    uint8_t proto; // 0: any
    bool has_sport, has_dport;
    uint16_t sport, dport; // ICMP: type and code
};

struct sad_state {
    bool ipv6; // src and dst are IPv6
    uint8_t src[16], dst[16];
    uint32_t spi, reqid;
    enum esp_mode mode;
    uint8_t inner; // ESP_FAMILY_* that may be inside
    enum esp_alg alg;
    uint8_t key[ESP_MAX_KEY], salt[4];
    unsigned key_len; // octets
    bool esn, udp, df_clear, no_ecn, dscp_decap, no_dscp_copy, has_sel;
    uint16_t sport, dport;
    uint16_t tfc; // octets that packets inside are padded to, 0: none
    uint32_t window;
    uint64_t last_out;                                           // last sequence number used
    uint64_t last_in;                                            // highest received
    uint64_t soft_bytes, hard_bytes, soft_packets, hard_packets; // 0: none
    struct sad_selector sel;
    unsigned line;
};

enum sad_dir { SAD_IN, SAD_OUT, SAD_FWD };

struct sad_policy {
    struct sad_selector sel;
    enum sad_dir dir;
    bool block;
    uint32_t priority; // lower wins, then the file's order
    bool has_tmpl, tmpl_ipv6;
    enum esp_mode tmpl_mode;
    uint8_t tmpl_src[16], tmpl_dst[16]; // all zero: any
    uint32_t tmpl_spi, tmpl_reqid;      // 0: any
    unsigned line;
};

struct sad {
    struct sad_state *states;
    size_t n_states;
    struct sad_policy *policies; // by priority, then by line
    size_t n_policies;
};

// 0, or a negative errno with *err naming file, line and word.
int sad_load(struct sad *s, const char *path, struct esp_error *err);
int sad_parse(struct sad *s, const char *name, char *text, size_t len, struct esp_error *err); // changes text
// The line of the first state between IPv6 ends, 0: there is none.
unsigned sad_ipv6_line(const struct sad *s);
void sad_clear(struct sad *s);        // wipes the keys
void sad_clear_states(struct sad *s); // so does this

#endif
