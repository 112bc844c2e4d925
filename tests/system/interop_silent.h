// SPDX-License-Identifier: Apache-2.0
// A matrix with a peer that has no ESP here, so that there are SAs and no traffic. A cell counts only if both
// ends have the same SAs and what the cell is named after was seen.
#ifndef TESTS_INTEROP_SILENT_H
#define TESTS_INTEROP_SILENT_H

#include "tests/system/interop.h"
#include "tests/system/interop_table.h"
#include "tests/system/middle.h"
#include "tests/system/vici_client.h"

struct silent_peer;
struct cell {
    const struct silent_peer *peer;
    const struct method *method;
    const struct feature *feature;
    const char *peers, *files; // folders: its programs, keys and certificates
    bool peer_begins;          // it is west then
    struct lab lab;
    struct middle middle;
    struct ends ends;
    struct tunnel_options *ours;
    struct vici_sas sas;        // ours, once `only_child` or `agreed` was true
    char pcap[200], conf[2000]; // conf: for the peer's use
};
struct feature {
    const char *name, *lines;        // further lines of the peer's configuration
    bool chain;                      // east shows a chain of certificates
    bool (*prepare)(struct cell *c); // the lab is there, the daemons are not; NULL: nothing to prepare
    bool (*act)(struct cell *c);     // the tunnel is up; NULL: nothing further
};
struct silent_peer {
    const char *name;
    bool (*has_method)(const struct method *m);
    bool (*start)(struct cell *c); // at its site
    bool (*initiate)(struct cell *c);
    // It has one IKE SA and these SPIs of ESP, and no other.
    bool (*has)(struct cell *c, uint32_t spi_in, uint32_t spi_out);
    void (*rekey)(struct cell *c, bool ike); // asks it to; NULL: it cannot be asked
    const struct feature *features;
    unsigned feature_count;
};

struct site *our_site(struct cell *c);
struct site *its_site(struct cell *c);
bool agree(struct cell *c); // waits for the same SAs at both ends
// The key by which that end shows itself; NULL: a shared secret.
const struct method *cell_key(struct cell *c, bool of_who_begins);
bool key_file_name(struct cell *c, const struct method *key, char *name, size_t size); // in `files`

// Features that several peers have.
bool prepare_rekey_pfs(struct cell *c);
bool act_rekey(struct cell *c);                                                            // by either end
bool act_rekey_own(struct cell *c);                                                        // by espalierd
bool was_rekeyed(struct cell *c, const struct vici_sas *before, bool ike, const char *by); // waits for it
bool prepare_cp(struct cell *c);
bool act_cp(struct cell *c);
bool prepare_ipv6_outer(struct cell *c);
bool prepare_ipv6_inner(struct cell *c);
bool prepare_nat(struct cell *c);
bool act_nat_seen_by_us(struct cell *c);

int silent_matrix(const struct silent_peer *peer, int argc, char **argv); // main's

#endif
