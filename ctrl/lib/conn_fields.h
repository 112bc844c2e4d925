// SPDX-License-Identifier: Apache-2.0
// The numbers that a connection and its children are configured by: what is written, read and compared
// (conn.c, conn_diff.c). F(bits, field)
#ifndef CTRL_CONN_FIELDS_H
#define CTRL_CONN_FIELDS_H

// Fields in the order of the structs; one list serves both directions.
// clang-format off
#define CHILD_SCALARS(F)                                                                                    \
    F(8, action) F(8, mode) F(8, start_action) F(8, close_action) F(8, dpd_action) F(8, hw_offload)                             \
    F(8, copy_df) F(8, copy_ecn) F(8, copy_dscp_out) F(8, copy_dscp_in) F(8, tfc_dummies) F(16, tfc_padding) F(32, replay_window)           \
    F(32, rekey_time) F(32, life_time) F(32, rand_time) F(32, inactivity) F(32, reqid) F(32, priority) F(32, if_id)          \
    F(64, rekey_bytes) F(64, life_bytes) F(64, rand_bytes)                                               \
    F(64, rekey_packets) F(64, life_packets) F(64, rand_packets)
#define CONN_SCALARS(F)                                                                                     \
    F(16, local_port) F(16, remote_port) F(8, encap)                \
    F(8, mobike) F(8, ppk_required) F(8, send_certreq) F(8, send_cert) F(8, fragmentation) F(8, unique) F(8, childless) F(32, dpd_delay) F(32, keyingtries)                      \
    F(32, rekey_time) F(32, reauth_time) F(32, over_time) F(32, rand_time) F(32, fence)
// clang-format on

#endif
