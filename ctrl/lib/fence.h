// SPDX-License-Identifier: Apache-2.0
// Up to when this node may send by what is one node's of a fleet at a time. A page of memory that `fleet`
// writes and `ike` and `path` look at before each packet and message: no answer of a process that hangs is
// waited for, and one that was stopped and goes on finds the time over by itself.
//
// A session is what one lease of etcd's lasts. Here they are counted, from 1 on, for as long as the daemon
// lives. An IKE SA and its CHILD SAs have the number of the session that they were made in for good: in the
// next one they stay closed.
#ifndef CTRL_LIB_FENCE_H
#define CTRL_LIB_FENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fence_page {            // all zero: closed
    _Atomic uint32_t number;   // of the session; 0: there was none
    _Atomic uint64_t deadline; // ms of CLOCK_BOOTTIME, from which on nothing is sent
    // For the `fleet` after one that died: etcd's revision at the session's beginning, and its name of the
    // lease.
    _Atomic uint64_t session, lease;
};

#define FENCE_NONE   0          // what a connection has that is no fleet's
#define FENCE_CLOSED UINT32_MAX // one that another node has, or nobody

uint64_t fence_now(void); // ms of CLOCK_BOOTTIME, asked for each time

// Zeroed, close-on-exec. A descriptor or -errno.
int fence_file(void);
// The same file, which nothing can be written to by. A descriptor or -errno.
int fence_read_only(int fd);
// NULL: errno says why. The descriptor may be closed then.
struct fence_page *fence_map(int fd, bool writes);

// The deadline is read before the number: fence_begin closes the old one in between.
static inline bool fence_open_at(const struct fence_page *p, uint32_t fence, uint64_t now)
{
    if (fence == FENCE_NONE)
        return true;
    if (!p || fence == FENCE_CLOSED)
        return false;
    uint64_t deadline = atomic_load_explicit(&p->deadline, memory_order_acquire);
    return now < deadline && atomic_load_explicit(&p->number, memory_order_acquire) == fence;
}
static inline bool fence_open(const struct fence_page *p, uint32_t fence)
{
    return fence == FENCE_NONE || fence_open_at(p, fence, fence_now());
}

// Of `fleet` alone.
void fence_close(struct fence_page *p);
void fence_begin(struct fence_page *p, uint64_t session, uint64_t lease, uint64_t deadline);
void fence_extend(struct fence_page *p, uint64_t deadline); // never back

#endif
