// SPDX-License-Identifier: Apache-2.0
// A virtual machine with Debian's kernel, whose ESP, AH and XFRM are the peer that a machine without them has
// not: started from an initial RAM file system (guest/image.sh), told what to do by its second serial line
// (guest/init.sh), and joined to the test by one network device: frames in the test's own socket, or a TAP.
// It is emulated (TCG), so needs no right but a TAP's, and runs at a twentieth of this machine's pace.
#ifndef TESTS_SYSTEM_GUEST_H
#define TESTS_SYSTEM_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GUEST_MAC    "02:00:00:00:00:02"
#define GUEST_CARD   "0000:01:00.0"
#define GUEST_PULLED "0000:02:00.0"
enum { GUEST_PATIENCE_MS = 180000 }; // what a guest takes at most, but for its waiting for a processor

struct guest_options {
    const char *files;     // guest/get.sh's folder
    const char *image;     // guest/image.sh's file
    const char *ns, *tap;  // its device is that TAP in that namespace; NULL: frames come to `wire`
    const char *vfio_user; // the socket of a PCI device in it (GUEST_CARD), or NULL
    bool neighbour; // an e1000e is in one IOMMU group with it, the second function of its slot; and another,
                    // GUEST_PULLED, in a slot that it can be pulled out of (device_del pulled)
    unsigned memory_mb; // 0: 256
};
struct guest {
    pid_t pid;
    char dir[96]; // removed with it
    int orders;   // its second serial line
    int wire;     // frames of its network device, one a datagram; -1 where that is a TAP
    unsigned asked;
};

bool guest_start(struct guest *g,
                 const struct guest_options *o); // says why not; the guest obeys from then on
void guest_stop(struct guest *g);
// Runs a line of shell in it. Exit status, -1 (and said): no answer. What it wrote is in out, cut to size.
__attribute__((format(printf, 4, 5))) int guest_run(struct guest *g, char *out, size_t size, const char *fmt,
                                                    ...);
bool guest_put(struct guest *g, const char *path, const char *text); // a file in it
// QEMU is told to; what it says to that is complained of.
bool guest_monitor(struct guest *g, const char *command);
bool guest_frame(struct guest *g, const uint8_t *frame, size_t len); // to it
// The next frame from it within so many ms: its length, 0: none.
size_t guest_next(struct guest *g, uint8_t *frame, size_t size, int timeout_ms);
void guest_log(const struct guest *g); // the end of its console, on stderr

#endif
