// SPDX-License-Identifier: Apache-2.0
// See spd_rig.h.
#include "tests/unit/spd_rig.h"

#include <string.h>
#include <sys/socket.h>

// Ten protected packets of the rig's own policy.
void spd_expect_protected(struct rig *r, uint32_t from)
{
    rig_out(r, from, 10);
    rig_expect(r, from, 10);
    assert_int_equal(r->past_count, 0);
}

void spd_send_udp(struct rig *r, const char *src, const char *dst, uint16_t dport, uint32_t number)
{
    rig_out_packet(r,
                   &(struct rig_packet){
                       .src = src, .dst = dst, .proto = 17, .sport = 1000, .dport = dport, .number = number});
}

bool spd_take_message(int fd, uint8_t *buf, size_t size, enum msg_type want, union msg *m)
{
    ssize_t n;
    while ((n = recv(fd, buf, size, MSG_DONTWAIT)) > 0)
        if (msg_read(slice_of(buf, (size_t)n), m) == want)
            return true;
    return false;
}

unsigned spd_count_policies(struct rig *r, struct msg_POLICY_IS *out, unsigned max)
{
    uint8_t buf[16384];
    union msg m;
    unsigned n = 0;
    policy_list(r->p, &(struct msg_POLICY_LIST){.req = 5});
    while (spd_take_message(r->ctl, buf, sizeof(buf), MSG_POLICY_IS, &m) && n < max)
        out[n++] = m.POLICY_IS;
    return n;
}

// Two policies over one another, an SA for each; the newer SA is the wider one's.
void spd_two_policies(struct rig *r)
{
    struct policy_spec wide = rig_spec(2, "wide", "10.0.0.0/8", "10.0.0.0/8");
    struct msg_CHILD c = rig_child(r, 2);
    rig_must_apply(r, "w", &wide, 1);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    c.policy_id = 2;
    c.local_ts = wide.local;
    c.remote_ts = wide.remote;
    rig_must_install_child(r, &c);
}

uint32_t spd_spi_of(const struct rig *r, unsigned i) // of the i-th packet that was sent
{
    const uint8_t *p = r->sent[i].bytes + 28;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
