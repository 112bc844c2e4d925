// SPDX-License-Identifier: Apache-2.0
// For a kernel without PF_KEY: LD_PRELOAD this into a daemon, and its PF_KEYv2 socket (RFC 2367) is answered
// by a thread that agrees with everything. SPIs are random; there is no traffic.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pfkeyv2.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
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

// In the process that opened the socket, and which may pass it on to another.
static void *serve(void *arg)
{
    static union message m; // there is one thread a socket, and one socket
    int fd = (int)(intptr_t)arg;
    ssize_t n;
    while ((n = recv(fd, &m, sizeof(m), 0)) > 0)
        if ((size_t)n >= sizeof(m.head))
            send(fd, &m, answer(&m, (size_t)n), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

int socket(int domain, int type, int protocol)
{
    int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
    int pair[2];
    pthread_t thread;
    if (domain != PF_KEY)
        return real(domain, type, protocol);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | (type & (SOCK_NONBLOCK | SOCK_CLOEXEC)), 0, pair) < 0)
        return -1;
    fcntl(pair[1], F_SETFL, fcntl(pair[1], F_GETFL) & ~O_NONBLOCK);
    if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)pair[1]) != 0) {
        close(pair[0]);
        close(pair[1]);
        errno = EAGAIN;
        return -1;
    }
    pthread_detach(thread);
    return pair[0];
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
