// SPDX-License-Identifier: Apache-2.0
// INFORMATIONAL: what is said without a task.
#ifndef CTRL_IKE_INFO_H
#define CTRL_IKE_INFO_H

struct ike_sa;
// The DELETE of an IKE SA that is ended by force while another task is at work.
void delete_ike_at_once(struct ike_sa *sa);
// Likewise of one that is given up while its IKE_AUTH is under way: the peer may have the SA already.
void delete_ike_unfinished(struct ike_sa *sa);

#endif
