// SPDX-License-Identifier: Apache-2.0
// How long a packet inside may be (RFC 4301 section 8.2): what the path between the gateways takes, as the
// kernel knows it from its routes and from ICMP, less what its SA puts around it. What is longer is told to
// its sender (DF, IPv6), goes in fragments made before encryption (IPv4 without DF, tunnel mode), or in
// fragments of the outer packet (over IPv4 with copy_df = no or in transport mode, and IPv6 of no more than
// 1280 octets, for which nothing may be asked), and so do those that were padded for a longer path (TFC).
#ifndef CTRL_PATH_MTU_H
#define CTRL_PATH_MTU_H

#include "ctrl/path/path.h"

// The longest packet inside that fits, 0: none does.
uint32_t mtu_inside(const struct esp_sa_params *out, uint32_t path_mtu);
// The longest that TFC padding may make a packet inside.
uint16_t mtu_padded(struct worker *w, struct child *c);
void mtu_forget(struct child *c); // its ends have moved
// A packet for this SA that is longer than its inner_mtu. False: it was taken care of.
bool mtu_takes(struct worker *w, struct packet *pkt, struct child *c);
// The kernel found it too long on its way out. True: it has left in fragments. Otherwise its sender was told,
// where that helps.
bool mtu_refused(struct worker *w, struct packet *pkt);

// A TCP SYN on its way out or in, with mss_clamp.
void mtu_clamp_syn(struct worker *w, struct child *c, uint8_t *p, uint32_t len);
static inline void mtu_clamp(struct worker *w, struct child *c, uint8_t *p, uint32_t len)
{
    if (p[p[0] >> 4 == 4 ? 9 : 6] == 6 && len >= 40)
        mtu_clamp_syn(w, c, p, len);
}

// ip_cut.c
// Of no more octets than mtu each: the next one behind `at` octets of payload, written to `to`; its length,
// 0: it was the last. Of IPv4 DF is cleared, and the ID is set where id is not 0.
struct ip_cut {
    const uint8_t *p;
    uint32_t len, at, room; // of its payload: all, what is done, what fits into one
    uint32_t id;
};
bool ip_cut_begin(struct ip_cut *g, const uint8_t *p, uint32_t len, uint32_t mtu, uint32_t id);
uint32_t ip_cut_next(struct ip_cut *g, uint8_t *to, uint32_t cap);

// mss.c: a TCP SYN that announces longer segments than fit into mtu announces those. True: it was changed.
bool mss_is_syn(const uint8_t *p, uint32_t len);
bool mss_clamp(uint8_t *p, uint32_t len, uint32_t mtu);

#endif
