// SPDX-License-Identifier: Apache-2.0
// LD_PRELOAD for libreswan where the kernel has XFRM but no ESP: the kernel refuses each state with
// EPROTONOSUPPORT, and pluto is told that it was installed. No traffic flows, but pluto negotiates as ever.
// Nothing else is changed.
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static int of_xfrm(int fd)
{
    int domain = 0, protocol = 0;
    socklen_t a = sizeof(domain), b = sizeof(protocol);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &a) == 0 && domain == AF_NETLINK &&
           getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &b) == 0 && protocol == NETLINK_XFRM;
}

static void accept_states(int fd, void *buf, ssize_t got)
{
    if (got < (ssize_t)sizeof(struct nlmsghdr) || !of_xfrm(fd))
        return;
    unsigned left = (unsigned)got;
    for (struct nlmsghdr *h = buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
            continue;
        struct nlmsgerr *e = NLMSG_DATA(h);
        int state = e->msg.nlmsg_type == XFRM_MSG_NEWSA || e->msg.nlmsg_type == XFRM_MSG_UPDSA;
        if (state && (e->error == -EPROTONOSUPPORT || e->error == -ENOSYS))
            e->error = 0;
    }
}

ssize_t recv(int fd, void *buf, size_t size, int flags)
{
    ssize_t (*real)(int, void *, size_t, int) =
        (ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
    ssize_t got = real(fd, buf, size, flags);
    accept_states(fd, buf, got);
    return got;
}

ssize_t recvfrom(int fd, void *restrict buf, size_t size, int flags, struct sockaddr *restrict from,
                 socklen_t *restrict len)
{
    typedef ssize_t call(int, void *, size_t, int, struct sockaddr *, socklen_t *);
    call *real = (call *)dlsym(RTLD_NEXT, "recvfrom");
    ssize_t got = real(fd, buf, size, flags, from, len);
    accept_states(fd, buf, got);
    return got;
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    ssize_t (*real)(int, struct msghdr *, int) =
        (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
    ssize_t got = real(fd, m, flags);
    if (m->msg_iovlen)
        accept_states(fd, m->msg_iov[0].iov_base, got);
    return got;
}

ssize_t read(int fd, void *buf, size_t size)
{
    ssize_t (*real)(int, void *, size_t) = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    ssize_t got = real(fd, buf, size);
    accept_states(fd, buf, got);
    return got;
}
