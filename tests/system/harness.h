// SPDX-License-Identifier: Apache-2.0
// Two sites in network namespaces of their own, real daemons in them, and what a test wants to see of the
// wire between them. Needs root of a network namespace: the machine's, or one made by unshare -Urnm.
// Namespaces are held by processes, not by mounts under /run, so that a plain chroot will do.
//   west 10.10.0.1 (inner 10.1.0.1) ===== 10.10.0.2 east (inner 10.2.0.1)
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/unit/busy.h"

struct site {
    char name[16]; // "west"
    char ns[32];   // its network namespace: /proc/PID/ns/net of keeper; commands run in it by nsenter --net=
    pid_t keeper;
    char dir[128]; // files of its daemon
    char outer[16], inner[16], subnet[20];
    char id[32];
    pid_t daemon, capture;
    bool charon;      // strongSwan instead of espalierd
    unsigned snaplen; // octets of each packet that are captured; 0: all
};
struct lab {
    char dir[96]; // made by lab_up, removed by lab_down unless keep
    struct site west, east;
    char card_dir[128];
    pid_t card;
    bool keep;
};

// Prints a message on stderr and returns false, so that checks read `return complain(...)`.
__attribute__((format(printf, 1, 2))) bool complain(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) int sh(const char *fmt, ...); // exit status, output to the lab's log
__attribute__((format(printf, 3, 4))) int sh_read(char *buf, size_t size, const char *fmt,
                                                  ...);                // stdout into buf
pid_t spawn(const char *log_path, const char *ns, char *const argv[]); // in the namespace (NULL: here)
bool enter_ns(const char *ns);                                         // this process, from now on
#undef stop                                                            // a macro of cmocka 2
bool stop(pid_t *pid, int sig, int timeout_ms);                        // true: exited 0 or by sig in time
bool wait_for(bool (*cond)(void *ctx), void *ctx, int timeout_ms);
// Where a time is promised and was too long: while somebody waits for a processor more than a twentieth of
// it, it says nothing and is measured again, a few times. Says so.
bool busy_once_more(struct busy *b, const char *what);
// A sanitizer keeps what was freed for a while, and looks for what is lost by itself.
#ifdef __SANITIZE_ADDRESS__
#define MEMORY_IS_JUDGED false
#else
#define MEMORY_IS_JUDGED true
#endif
uint64_t mono_us(void);

bool lab_up(struct lab *l, const char *prefix);
void lab_down(struct lab *l);
// A host behind a site: 10.n.9.5 and fd0n::9:5 in a namespace of its own, which it is routed by. Ends with
// its keeper.
bool host_up(struct site *gateway, struct site *host, int n);
// Another site, of that number, with a folder and a namespace of its own and no link; the caller's to stop.
bool site_more(struct lab *l, struct site *s, const char *name, int n);
// The link between them and the routes over it speak IPv6 too: fd10::1 and fd10::2.
bool lab_ipv6(struct lab *l);
const char *bin_dir(void); // build/bin beside the test program

// Daemons. extra: further options or NULL. hw_offload: value for the child in swanctl.conf, or NULL.
struct tunnel_options {
    const char *name, *child_name; // of the connection, and of its only child; NULL: site, net
    const char *ike, *esp;         // proposals; NULL: aes256gcm16-prfsha384-x25519, aes256gcm16
    const char *ah;                // proposals of AH instead of ESP
    const char *hw_offload;        // NULL: not in the file
    bool one_offload;              // that of the first child alone
    const char *start_action;
    bool encap;            // force UDP encapsulation
    const char *psk;       // NULL: the same on both sides
    const char *secrets;   // further sections of secrets
    const char *sections;  // further sections of the file
    const char *dpd_delay; // NULL: 0
    const char *conn;      // further lines of the connection
    const char *child;     // further lines of each child, instead of rekey_time = 0
    unsigned children; // 0: one, `net`, of the whole subnets; otherwise net, net1, net2 … of 10.x.N.0/24
    const char *own_addrs; // local_addrs; NULL: the site's
    bool mobike;
    const char *peer_addr;            // where the peer is seen; NULL: at its own address
    const char *local, *remote;       // lines of those sections; NULL: auth = psk
    const char *local_id, *remote_id; // NULL: the site's; "": none
    const char *charon_plugins;       // further ones
    const char *charon_settings;      // further lines of charon's section
    const char *charon_root;          // a folder with another Debian, whose charon is run; NULL: this one's
};
// o NULL: the site's swanctl.conf is there already.
bool espalierd_start(struct lab *l, struct site *s, const struct site *peer, const struct tunnel_options *o,
                     char *const extra[]);
bool charon_start(struct lab *l, struct site *s, const struct site *peer, const struct tunnel_options *o);
bool site_load(struct site *s, const struct site *peer, const struct tunnel_options *o); // the file anew
pid_t room_pid(const struct site *s, const char *name); // a process of the site's espalierd; 0: there is none
bool daemon_kill(struct site *s); // kill -9 of the supervisor; true when no process of it runs any more
bool have_strongswan(void);
bool have_swanctl(void);
int swanctl(struct site *s, char *buf, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
bool card_start(struct lab *l, const char *extra);

// Traffic.
bool ping(struct lab *l, struct site *from, struct site *to, int count); // all came back
bool answered(struct site *from, struct site *to, int count); // likewise, each within half a second
// None of them is answered, and none left `from` in clear. What would come back in clear is there within a
// millisecond, so half a second is waited.
bool unanswered(struct lab *l, struct site *from, struct site *to, int count);
bool transfer(struct lab *l, struct site *from, struct site *to, size_t bytes, int timeout_ms,
              void (*half_way)(void *), void *ctx);
struct probe { // a UDP packet every interval, numbered; the receiver notes when each came
    pid_t tx, rx;
    char result[160];
};
bool probe_start(struct lab *l, struct probe *p, struct site *from, struct site *to, unsigned interval_us);
struct probe_result {
    uint64_t sent, received, repeated;
    uint64_t max_gap_us;   // without an arrival, from the first packet sent to the last
    uint64_t longest_lost; // numbers lost one behind the other, at most
};
bool probe_sends(uint64_t n); // waits until so many are sent, or have come
bool probe_hears(uint64_t n);
bool probe_stop(struct probe *p, struct probe_result *r);
// Until all have come and none comes twice for a while, or a second has brought nothing more.
void await_the_rest(const volatile uint64_t *came, uint64_t sent);

// The wire. Frames are kept up to 4,000 octets.
bool capture_start(struct lab *l, struct site *s, const char *path);
bool capture_stop(struct site *s); // false: something that passed is not in the file
struct wire {
    uint64_t packets, esp, ike, esp_bytes;
    uint64_t repeated;  // (destination, SPI, sequence) seen before
    uint64_t plaintext; // a packet of the inner networks in clear: 10.1, 10.2, fd01, fd02
    uint64_t other;     // neither that, nor ESP, nor IKE, nor the link's own
    uint64_t max_jump;  // between two sequence numbers of one SA that follow each other
    uint64_t spis;
    uint64_t largest_ike;      // octets of an IP packet with IKE in it
    uint64_t ike_before_other; // IKE datagrams before the first of those
};
bool wire_check(const char *pcap, struct wire *w);
// ESP packets with that SPI in a capture from CLOCK_REALTIME µs `from` on. -1: it cannot be read.
long wire_spi_since(const char *pcap, uint32_t spi, uint64_t from);

// A number behind "name" in text such as "name 12" or "name=12" or "\"name\": 12"; fallback where it is not
// there.
uint64_t number_after(const char *text, const char *name, uint64_t fallback);

#endif
