// SPDX-License-Identifier: Apache-2.0
// What the tests of the policy data base share beside the path room's rig.
#ifndef TESTS_SPD_RIG_H
#define TESTS_SPD_RIG_H

#include "tests/unit/path_rig.h"

// Ten protected packets of the rig's own policy.
void spd_expect_protected(struct rig *r, uint32_t from);
void spd_send_udp(struct rig *r, const char *src, const char *dst, uint16_t dport, uint32_t number);
bool spd_take_message(int fd, uint8_t *buf, size_t size, enum msg_type want, union msg *m);
unsigned spd_count_policies(struct rig *r, struct msg_POLICY_IS *out, unsigned max);
// Two policies over one another, an SA for each; the newer SA is the wider one's.
void spd_two_policies(struct rig *r);
uint32_t spd_spi_of(const struct rig *r, unsigned i); // of the i-th packet that was sent

#endif
