// SPDX-License-Identifier: Apache-2.0
// A gateway on the kernel itself, between a TUN, a network behind and one outside: what programs of its own
// send and receive, and where it comes out.
#ifndef TESTS_SYSTEM_GATEWAY_LAB_H
#define TESTS_SYSTEM_GATEWAY_LAB_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/system/kernel_lab.h"

enum { TUN = 1, WAN = 2, PORT = 7000, HOP = 64 };
#define REMOTE "fd02::5"

// ---- packets

struct seen {
    int where; // TUN, WAN, both, 0: nowhere
    struct in6_addr src;
    uint8_t proto;
};

struct in6_addr ip6(const char *text);
// Where packets to dst come out until it has been quiet for a while.
struct seen look(int tun, int wan, const struct in6_addr *dst);
// A packet with its payload's checksum at sum_at. Returns its length.
size_t packet(uint8_t *p, const char *src, const char *dst, uint8_t proto, const uint8_t *payload, size_t len,
              size_t sum_at);
void from_wan(int wan, const uint8_t *p, size_t len);
void from_lan(int lan, const uint8_t *p, size_t len);
uint16_t sum_of(const uint8_t *p, size_t len);
void put_sum(uint8_t *at, uint16_t sum);
void head4(uint8_t *p, uint8_t proto, size_t len, const uint8_t src[4], const uint8_t dst[4]);

// ---- programs

// link: bound to it, "": to none, but to any port
int program(const char *src, const char *link);
int say(int fd, const char *to); // 0 or -errno
bool hears(int fd);

// ---- the gateway

struct gateway {
    struct kernel_lab l;
    int lan, wan;
    int bound, unbound, of_wan; // programs: at fd01::1, at nothing, at fd01::1 and the WAN's device
    int old;                    // connected before anything was loaded
    struct pol p;
};

void gateway_up(struct gateway *g);
void gateway_down(struct gateway *g);
bool no_hooks(struct gateway *g); // says so, and takes the gateway down
void protect(struct gateway *g, const char *remote, unsigned bits, uint8_t proto, uint16_t port);
// Everywhere, from the network behind.
void everywhere(struct gateway *g, bool six);
void put_back(struct gateway *g); // what somebody has taken away
void connect_to_remote(int fd);
int goes(struct gateway *g, int fd); // TUN, WAN, both, 0: nowhere
bool arrives(struct gateway *g, bool by_tun);
// The programs of the gateway, through the TUN and nowhere else.
#define assert_speaks(g) speaks(g, __LINE__)
void speaks(struct gateway *g, int line);
#define assert_silent(g) silent(g, __LINE__)
void silent(struct gateway *g, int line);

// ---- servers on 0.0.0.0 and ::

int comes_out(struct gateway *g, const char *what); // where what a program says comes out
size_t question4(uint8_t *p, uint16_t by, uint16_t to, uint8_t far);
// Of IPv6 each `far` is of another network.
size_t question_by(uint8_t *p, bool six, uint16_t by, uint16_t to, uint8_t far);
struct server {
    bool six;
    int fd;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } at;
    socklen_t len;
};

uint16_t port_of(const struct server *s);
// By a port of its own or another one's.
struct server serve(bool six, uint16_t port);
// From the TUN, as from `far` of its network. Returns whether the server hears it, and who asks.
bool is_asked(struct gateway *g, const struct server *s, uint8_t far, struct sockaddr_storage *from);

#endif
