// SPDX-License-Identifier: Apache-2.0
// Sockets of the daemon's own, past everything that it sets up for the traffic that it protects: without this
// a policy that names the peer's own address keeps the two from ever speaking, and a question for the way to
// that peer is refused.
#ifndef ESPALIER_CTRL_LIB_OWN_SOCKET_H
#define ESPALIER_CTRL_LIB_OWN_SOCKET_H

// The mark that no routing rule of ours leads into the tunnel. 0 or -errno (-EPERM: no CAP_NET_ADMIN).
int own_socket_mark(int fd);
// No IPsec policy of the kernel's applies, in either direction (IP_XFRM_POLICY). family: AF_INET or AF_INET6.
// 0 or -errno; a kernel without IPsec has none to be past.
int own_socket_past_policies(int fd, int family);
// A datagram socket by which the kernel is asked for a way; both of the above as far as they can be had.
// -1: none, see errno.
int own_socket_for_questions(int family);

#endif
