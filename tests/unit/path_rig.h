// SPDX-License-Identifier: Apache-2.0
// The path room in a test process: its TUN is a socket pair, what it sends is caught, its neighbours are
// channels that the test reads, and a peer with the same keys opens what comes and seals what is to come in.
#ifndef TESTS_PATH_RIG_H
#define TESTS_PATH_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrl/path/path.h"
#include "tests/unit/path_fake.h"

#define RIG_SENT 4096
#define RIG_PAST 64
struct ts_list rig_net(const char *lo, const char *hi);
struct rig {
    struct path *p;
    struct settings settings;
    struct child_env env, env_of[PATH_WORKERS]; // env_of: of further workers, where there are some
    struct fake_card card;
    int tun, keys, ike, ctl;        // our ends
    int tun_of[PATH_WORKERS];       // the further workers' queues
    struct msg_UNKNOWN_SPI unknown; // the last that ike was told of, as rig_events finds them
    unsigned unknowns;
    int udp; // the peer's socket
    int raw; // what the kernel would deliver of plain ESP
    uint16_t udp_port, own_port;
    struct esp_engine *peer;
    uint8_t in[2600], out[2600];
    uint8_t last_in[2600]; // the datagram of the last rig_in
    size_t last_in_len;
    struct {
        uint8_t bytes[160];
        uint32_t len;
    } sent[RIG_SENT];
    unsigned sent_count, seen; // seen: opened by rig_opened
    struct {
        uint8_t bytes[160];
        uint32_t len;
    } past[RIG_PAST]; // what went on past us
    unsigned past_count;
    int past_rc;        // negative: there is no way past us
    uint64_t conn_peer; // of what is loaded next
    bool first_of_ike;  // likewise: it has none of that name
    uint64_t now_us;    // of path's clock, which stands still; 0, where a test sets it: it is the machine's
};

int rig_up(void **state);         // *state: the rig; without a card
int rig_up_two(void **state);     // with two workers, each of which has a queue of the TUN
int rig_up_many(void **state);    // with as many as there can be
int rig_up_apart(void **state);   // with two in threads of their own beside control's; crew_start starts them
int rig_down(void **state);       // also checks that no packet and no child SA was lost sight of
void rig_gives_up(struct rig *r); // what waits for an SA waits no more
int rig_catch(struct rig *r, struct mmsghdr *m, unsigned n); // what path's net sends ends here
void rig_card(struct rig *r);                                // puts the fake card in
void rig_turn(struct rig *r);                                // lets path do all that it can do now
void rig_pass(struct rig *r, uint64_t ms);                   // time passes, and from then on only so

// "10.1.0.0/16,10.3.0.1/32[17/53],dynamic[6/1000-2000]"
struct ts_list rig_list(const char *text);
struct policy_spec rig_spec(uint32_t id, const char *child, const char *local, const char *remote);
bool rig_apply(struct rig *r, const char *conn, const struct policy_spec *s, unsigned n, char *text,
               size_t size); // path's answer
void rig_must_apply(struct rig *r, const char *conn, const struct policy_spec *s, unsigned n);

// From the start there is policy 1, "rig/net": trap, 10.1.0.0/16 === 10.2.0.0/16.
// SPIs: 0x1000 + id comes in at path, 0x2000 + id goes out.
void rig_install(struct rig *r, uint32_t id, enum offload_mode mode, uint64_t life_packets);
struct msg_CHILD rig_child(struct rig *r, uint32_t id); // what rig_install installs, to be changed
void rig_install_child(struct rig *r, const struct msg_CHILD *c);
void rig_ask_for_child(struct rig *r,
                       const struct msg_CHILD *c); // the same, and the peer knows nothing of it
void rig_must_install_child(struct rig *r, const struct msg_CHILD *c);
bool rig_result(struct rig *r, bool *ok, char *text, size_t size); // false: none came
void rig_must_install(struct rig *r, uint32_t id, enum offload_mode mode, const char *where);
unsigned rig_events(struct rig *r, uint8_t event); // takes all; how many were of this kind

// A packet of IPv4 or IPv6 as the addresses are; a fragment where offset (in octets) or more is set. Its
// number stands in the last four octets. Returns its length.
struct rig_packet {
    const char *src, *dst;
    uint8_t proto;
    uint16_t sport, dport;
    uint32_t offset, id, number;
    bool more;
};
uint32_t rig_build(uint8_t *p, const struct rig_packet *k);
void rig_out_packet(struct rig *r, const struct rig_packet *k); // into the TUN
void rig_in_packet(struct rig *r, uint32_t spi, const struct rig_packet *k);
void rig_in_bytes(struct rig *r, uint32_t spi, uint32_t len); // what stands in r->in; 0: a dummy
bool rig_write(struct rig *r, uint32_t number); // a protected packet into the TUN; false: no room
bool rig_write_to(int tun, uint32_t number);    // ... into that queue of it
void rig_out(struct rig *r, uint32_t from, uint32_t count);
// The number inside the next packet that path has sent, UINT32_MAX: none. Fails the test when it cannot be
// opened.
uint32_t rig_opened(struct rig *r);
void rig_expect(struct rig *r, uint32_t from, uint32_t count); // these numbers, in this order
void rig_unique(struct rig *r); // no (SPI, sequence) twice in all that was sent

void rig_datagram(struct rig *r, const uint8_t *p, size_t len);                   // to path's UDP socket
void rig_in(struct rig *r, uint32_t spi, const char *inner_src, uint32_t number); // a packet from the peer
void rig_seal(struct rig *r, uint32_t spi, const char *inner_src,
              uint32_t number);   // the same, which stays in last_in
uint32_t rig_read(struct rig *r); // the number of the next packet out of the TUN, UINT32_MAX: none

#endif
