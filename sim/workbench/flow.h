// SPDX-License-Identifier: Apache-2.0
// What happens to a packet: decapsulation by a state, encapsulation by a policy's state, passing or dropping.
#ifndef SIM_WORKBENCH_FLOW_H
#define SIM_WORKBENCH_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "espalier/status.h"
#include "sim/workbench/sad.h"

struct flow {
    uint8_t family; // ESP_FAMILY_*
    uint8_t src[16], dst[16];
    uint8_t proto;         // IPv6: behind the extension headers
    bool has_ports;        // false: none, a later fragment, or cut short
    uint16_t sport, dport; // ICMP: type and code
};

enum flow_action { FLOW_PASS, FLOW_DROP, FLOW_ENCAP, FLOW_DECAP };

struct flow_verdict {
    enum flow_action action;
    unsigned state;         // ENCAP
    enum esp_status reason; // DROP
    unsigned line;          // of the policy that decided; 0: none did
};

struct flow_table {
    const struct sad *sad;
    uint8_t encap_ports[65536 / 8]; // UDP ports that some state's encap names
    bool checks_in;                 // the file has policies dir in or fwd
};

void flow_table_init(struct flow_table *t, const struct sad *sad);

// An IP packet as it came.
struct flow_verdict flow_classify(const struct flow_table *t, const uint8_t *ip, size_t len);

// After decapsulation by `state`: may the inner packet pass the state's selector and the policies? *line: of
// the policy that decided; the state's own where its selector did; 0 where no policy fits.
bool flow_allows_inner(const struct flow_table *t, unsigned state, const uint8_t *ip, size_t len,
                       unsigned *line);

// if_unknown: the answer for a selector with ports where the packet's are not known.
bool flow_matches(const struct sad_selector *sel, const struct flow *f, bool if_unknown);

#endif
