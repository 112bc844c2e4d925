// SPDX-License-Identifier: Apache-2.0
// IKE SAs whose peers were proven by certificates, while they stand: what becomes known meanwhile counts.
#ifndef CTRL_IKE_STANDING_H
#define CTRL_IKE_STANDING_H

struct ike;
void standing_look(struct ike *ike);      // after each message: whether a CRL came
void standing_clock_set(struct ike *ike); // the system's clock was set: their certificates may end elsewhere
void standing_free(struct ike *ike);

#endif
