// SPDX-License-Identifier: Apache-2.0
// Virtual tunnel interfaces: TUNs of their own for policies with an `if_id`, into which routing leads. See
// vti.c for how it is done, and why so.
#ifndef CTRL_PATH_VTI_H
#define CTRL_PATH_VTI_H

#include <stdatomic.h>

#include "ctrl/lib/hash.h"
#include "ctrl/lib/loop.h"
#include "ctrl/path/classifier.h"
#include "ctrl/path/net.h"

enum { VTI_MAX = 255, VTI_NAME = 16 };
#define VTI_PREFIX "ipsec" // and the if_id in decimal: together as long as a name may be

struct path;
struct child;
struct worker;
struct packet;
struct vti;
struct vti_port { // a worker's queue
    struct vti *v;
    struct worker *w;
    struct path_tun tun;
    struct loop_fd fd; // -1: not watched
};
struct vti {
    uint32_t if_id;
    uint8_t index;
    uint32_t link;             // the interface's index
    unsigned users;            // policies; none: the slot is free for another
    char name[VTI_NAME];       //
    atomic_bool lost;          // somebody has deleted it: whichever worker has seen that
    bool found;                // of an earlier run, and no load of this one has come to pass with it yet
    bool told;                 // that it cannot be made again
    uint64_t again_at;         // ms, when it is made again
    struct classifier classes; // its policies
    struct vti_port port[];    // by worker
};
struct vtis {                     // all zero: none
    struct vti *at[VTI_MAX + 1];  // by index, from 1 on; NULL: there was never one
    unsigned count;               // in use
    struct addr *own;             // this machine's addresses, while there are any
    unsigned own_count, own_room; //
    struct hash own_spis;         // likewise, of its outbound SPIs (vti_own.c)
    bool own_spis_lack;           // there was no memory for some
    bool around;                  // our own packets are led around them
    bool swept;                   // what an earlier run has left of that is gone
    bool stay;                    // the process ends, and the devices are left to the next run
};

// A policy comes to use the one with that if_id, which is made where there is none. 0, or a negative errno
// and nothing has changed.
int vti_get(struct path *p, uint32_t if_id, uint8_t *index, struct esp_error *err);
void vti_put(struct path *p, uint8_t index);    // with the last one it goes
void vti_settle(struct vtis *s, uint8_t index); // such a policy is loaded: from now on it is this run's
uint32_t vti_if_id(const struct vtis *s, uint8_t index);
const char *vti_name(const struct vtis *s, uint8_t index);
void vti_close(struct vtis *s); // at the end, when no policy is left

void vti_watch(struct worker *w, bool on); // what comes by them waits while no packet is free
void vti_addresses(struct path *p);        // this machine's have changed
void vti_repair(struct path *p);           // now and then: those that somebody has deleted
unsigned vti_sweep(struct path *p);        // devices of an earlier run that nobody has asked for; how many
void vti_lead_around(struct path *p);
// vti_own.c: the first tunnel has come, and the last one gone; a child has come, and goes.
void vti_own_begin(struct path *p);
void vti_own_end(struct vtis *s);
void vti_child_comes(struct path *p, const struct child *c);
void vti_child_goes(struct path *p, const struct child *c);
// Our own IKE or ESP, which a route has led into a tunnel.
bool vti_is_own(const struct worker *w, const struct packet *pkt, const struct fields *f);

#endif
