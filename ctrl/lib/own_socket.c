// SPDX-License-Identifier: Apache-2.0
#include "ctrl/lib/own_socket.h"

#include <errno.h>
#include <stdint.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "ctrl/lib/child.h"

int own_socket_mark(int fd)
{
    uint32_t mark = ESPALIER_SO_MARK;
    return setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ? -errno : 0;
}

int own_socket_past_policies(int fd, int family)
{
    for (int dir = XFRM_POLICY_IN; dir <= XFRM_POLICY_OUT; dir++) {
        struct xfrm_userpolicy_info policy = {
            .action = XFRM_POLICY_ALLOW, .dir = (uint8_t)dir, .sel.family = (uint16_t)family};
        int rc = family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, &policy, sizeof(policy))
                                   : setsockopt(fd, IPPROTO_IPV6, IPV6_XFRM_POLICY, &policy, sizeof(policy));
        if (rc < 0)
            return -errno;
    }
    return 0;
}

int own_socket_for_questions(int family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)own_socket_mark(fd);
        (void)own_socket_past_policies(fd, family);
    }
    return fd;
}
