// SPDX-License-Identifier: Apache-2.0
// For a kernel without PF_KEY: LD_PRELOAD this into a daemon, and its PF_KEYv2 socket (RFC 2367) agrees with
// everything. SPIs are random; there is no traffic.
// The socket is one of datagrams that is connected to itself: what is written to it comes back as the answer.
// The answer is there when writev() returns, as a kernel's is: iked waits for it for one millisecond
// (PFKEY_REPLY_TIMEOUT / 1000, where the poll() behind it takes milliseconds), which a thread or a process
// beside it now and then does not keep. And nothing but the socket itself goes to whom it is passed on to.
#include <dlfcn.h>
#include <errno.h>
#include <linux/pfkeyv2.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { WORD = 8, SPI_LEAST = 0x1000 }; // lengths count words of eight octets

union message {
    struct sadb_msg head;
    uint8_t octets[65536];
};

// The reply to what is in m, of len octets; its length.
static size_t answer(union message *m, size_t len)
{
    m->head.sadb_msg_errno = 0;
    if (m->head.sadb_msg_type == SADB_GETSPI) {
        struct sadb_sa sa = {.sadb_sa_len = sizeof(sa) / WORD, .sadb_sa_exttype = SADB_EXT_SA};
        do {
            if (getrandom(&sa.sadb_sa_spi, sizeof(sa.sadb_sa_spi), 0) != sizeof(sa.sadb_sa_spi))
                m->head.sadb_msg_errno = EAGAIN;
        } while (ntohl(sa.sadb_sa_spi) < SPI_LEAST);
        memcpy(m->octets + sizeof(m->head), &sa, sizeof(sa));
        len = sizeof(m->head) + sizeof(sa);
    } else if (m->head.sadb_msg_type == SADB_GET) {
        m->head.sadb_msg_errno = ESRCH;
        len = sizeof(m->head);
    } else if (m->head.sadb_msg_type == SADB_REGISTER || m->head.sadb_msg_type == SADB_FLUSH ||
               m->head.sadb_msg_type == SADB_X_SPDFLUSH) {
        len = sizeof(m->head);
    }
    m->head.sadb_msg_len = (uint16_t)(len / WORD);
    return len;
}

// A socket of ours: no other is connected to its own name.
static bool is_ours(int fd)
{
    struct sockaddr_un own = {0}, peer = {0};
    socklen_t own_len = sizeof(own), peer_len = sizeof(peer);
    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 && own.sun_family == AF_UNIX &&
           own_len > sizeof(own.sun_family) && getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 &&
           own_len == peer_len && memcmp(&own, &peer, own_len) == 0;
}

int socket(int domain, int type, int protocol)
{
    int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(own);
    if (domain != PF_KEY)
        return real(domain, type, protocol);
    int fd = real(AF_UNIX, SOCK_DGRAM | (type & (SOCK_NONBLOCK | SOCK_CLOEXEC)), 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&own, sizeof(own.sun_family)) == 0 && // the kernel names it
        getsockname(fd, (struct sockaddr *)&own, &len) == 0 && connect(fd, (struct sockaddr *)&own, len) == 0)
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    ssize_t (*real)(int, const struct iovec *, int) =
        (ssize_t(*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    static union message m; // who writes to such a socket has one thread
    size_t len = 0;
    if (!is_ours(fd))
        return real(fd, iov, count);
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > sizeof(m) - len) {
            errno = EMSGSIZE;
            return -1;
        }
        memcpy(m.octets + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    if (len < sizeof(m.head)) {
        errno = EMSGSIZE;
        return -1;
    }
    return send(fd, &m, answer(&m, len), MSG_NOSIGNAL) < 0 ? -1 : (ssize_t)len;
}

// The sockets' own exception from IPsec, which this kernel does not know either.
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    int (*real)(int, int, int, const void *, socklen_t) =
        (int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt");
    if ((level == IPPROTO_IP && name == IP_IPSEC_POLICY) ||
        (level == IPPROTO_IPV6 && name == IPV6_IPSEC_POLICY))
        return 0;
    return real(fd, level, name, value, len);
}
