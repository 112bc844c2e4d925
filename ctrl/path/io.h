// SPDX-License-Identifier: Apache-2.0
// What the files of the packets' way share: io.c, packets.c, queues.c, outbound.c, arrivals.c, inbound.c.
#ifndef CTRL_PATH_IO_H
#define CTRL_PATH_IO_H

#include "ctrl/path/path.h"

static inline uint32_t io_be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline struct engine_count *io_count(struct worker *w, const struct esp_engine *e)
{
    return e == path_soft(w->p) ? &w->count[PATH_SOFT] : &w->count[PATH_CARD];
}

// packets.c
struct packet *packet_get(struct worker *w); // NULL: none is free, and nothing is read until one is
void packet_arrives(struct worker *w, struct packet *pkt); // in its turn: from now on it is the newest
void packet_release(struct worker *w, struct packet *pkt);
void packet_leave(struct worker *w, struct packet *pkt); // its SA and its engine: it is a packet as it came
void packet_off_card(struct worker *w, struct packet *pkt);
bool packet_lend(struct worker *w, struct packet *pkt); // its contents where a card may reach them
void packet_take_back(struct worker *w, struct packet *pkt);
void packet_copy_result(struct worker *w, struct packet *pkt);

// queues.c
struct child *packet_owner(struct worker *w,
                           const struct packet *pkt); // the inbound SA's, by SPI, if it is w's
void queue_put(struct worker *w, struct packet *pkt);
void queue_wait(struct worker *w, struct half *h, struct packet *pkt);
// To another SA of its policy. GONE: which another worker has, and the packet with it.
enum handed_on { STAYS, CHANGED, GONE };
enum handed_on queue_hand_on(struct worker *w, struct packet *pkt);
void queue_drain(struct worker *w, struct esp_engine *e);

// orphans.c
void orphan_keep(struct worker *w, struct packet *pkt);
void orphans_found(struct worker *w, const struct fields *first, bool inbound); // they go on

// early.c
bool early_keep(struct worker *w, struct packet *pkt); // false: nobody expects an SA of its SPI

// trapped.c
bool trapped_keep(struct worker *w, struct packet *pkt,
                  const struct policy *base); // false: it is not to wait

// outbound.c
void tun_gone(struct worker *w);
void out_burst(struct worker *w, struct packet **pkt, unsigned n); // new ones, out of the TUN
void out_looked_at(struct worker *w, struct packet **pkt, struct look_up *l,
                   unsigned n); // ... which this worker has to see
void out_take(struct worker *w, struct packet *pkt, struct look_up *l);
void out_ready(struct loop_fd *f, uint32_t events); // of the TUN
// What has come by a TUN; what the last read said.
int out_read(struct worker *w, const struct path_tun *tun, uint8_t vti);
void out_done(struct worker *w, struct esp_engine *e, struct packet *pkt);
void out_send(struct worker *w);

// big.c: a TUN that gives and takes several TCP segments at once
// Reads a burst and handles it; what the last read said.
int big_ready(struct worker *w, const struct path_tun *tun, uint8_t vti);
// A packet, now or by tun_flush.
void tun_put(struct worker *w, uint8_t vti, const uint8_t *p, uint32_t len);
void tun_flush(struct worker *w);

// arrivals.c
void in_udp(struct loop_fd *f, uint32_t events);
void in_udp6(struct loop_fd *f, uint32_t events);
void in_raw(struct loop_fd *f, uint32_t events);
void in_raw6(struct loop_fd *f, uint32_t events);
void in_ah(struct loop_fd *f, uint32_t events);
void in_ah6(struct loop_fd *f, uint32_t events);
// inbound.c
// What came out of an SA, authentic.
void in_take(struct worker *w, struct packet *pkt, struct look_up *l);
void in_unknown(struct worker *w, const struct packet *pkt); // of an SPI that there is not
void in_done(struct worker *w, struct esp_engine *e, struct packet *pkt, struct look_up *l);

#endif
