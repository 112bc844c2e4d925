// SPDX-License-Identifier: Apache-2.0
// IKE_SA_INIT: what both roles share.
#ifndef CTRL_IKE_INIT_H
#define CTRL_IKE_INIT_H

#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"

struct ike_sa;
struct net_path;
struct nats;
enum { MAX_RESTARTS = 5 };
void init_restart(struct ike_sa *sa); // all over again, with nothing of the attempt before
void init_nat_hash(struct ike *ike, uint64_t spi_i, uint64_t spi_r, const struct addr *a, uint16_t port,
                   uint8_t out[20]);
void init_put_nat(struct pb *b, const struct ike_sa *sa, const struct net_path *p);
// What the two notifies say of a way. False: they are not both there, and nothing is said.
bool init_nat_seen(const struct ike_sa *sa, const struct payloads *pl, uint64_t spi_r,
                   const struct net_path *p, struct nats *n);
void init_read_nat(struct ike_sa *sa, const struct payloads *pl, uint64_t spi_r);
void init_float_ports(struct ike_sa *sa); // to 4500 from here on, where both ends speak it
void init_put_fragmentation(struct pb *b, const struct ike_sa *sa);
void init_read_fragmentation(struct ike_sa *sa, const struct payloads *pl);
// What the peer signs with, and whether it wants a certificate.
void init_read_auth(struct ike_sa *sa, const struct payloads *pl);
void init_ask_keys(struct task *t, reply_fn fn);
bool init_keep_cookie(struct ike_sa *sa, struct slice cookie); // false: no memory
bool init_take_keys(struct ike_sa *sa, enum msg_type t, const union msg *m);

// An IKE SA's first message of ours: its head is written, and its octets are kept for AUTH (RFC 7296
// section 2.15; hs->own_init). False: it had no room, or there is no memory.
bool init_finish(struct ike_sa *sa, struct pb *b, struct ike_header *h);
bool init_send(struct ike_sa *sa, struct pb *b, struct ike_header *h); // likewise a request, which goes out

#endif
