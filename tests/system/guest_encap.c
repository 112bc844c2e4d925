// SPDX-License-Identifier: Apache-2.0
// Runs inside a guest: has its kernel take ESP in UDP (RFC 3948) at port 4500, IPv4 and IPv6, for as long as
// it lives, as an IKE daemon does.
#include <arpa/inet.h>
#include <linux/udp.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 4500 };

// ESP in UDP is no packet that a policy between the two ends is about.
static int exempt(int fd, int family)
{
    struct xfrm_userpolicy_info p = {.action = XFRM_POLICY_ALLOW, .sel = {.family = (unsigned short)family}};
    int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    int option = family == AF_INET ? IP_XFRM_POLICY : IPV6_XFRM_POLICY;
    for (int dir = XFRM_POLICY_IN; dir <= XFRM_POLICY_OUT; dir++) {
        p.dir = (unsigned char)dir;
        if (setsockopt(fd, level, option, &p, sizeof(p)) < 0)
            return -1;
    }
    return 0;
}

static int take(int family, const struct sockaddr *at, socklen_t len)
{
    const int on = 1, kind = UDP_ENCAP_ESPINUDP;
    int fd = socket(family, SOCK_DGRAM, 0);
    if (fd < 0 || (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, at, len) < 0 || exempt(fd, family) < 0 ||
        setsockopt(fd, IPPROTO_UDP, UDP_ENCAP, &kind, sizeof(kind)) < 0) {
        perror("guest_encap");
        return 1;
    }
    return 0;
}

int main(void)
{
    const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};

    if (take(AF_INET, (const struct sockaddr *)&v4, sizeof(v4)) ||
        take(AF_INET6, (const struct sockaddr *)&v6, sizeof(v6)) || daemon(0, 0) < 0)
        return 1;
    for (;;)
        pause();
}
