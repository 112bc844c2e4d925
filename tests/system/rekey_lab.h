// SPDX-License-Identifier: Apache-2.0
// Two sites with a tunnel under numbered traffic both ways and captures at both ends; rekeys by either end,
// and what must hold when it is quiet again. West is espalierd and east charon, unless ESPALIER_REKEY_WEST or
// _EAST say otherwise (charon, espalierd); ESPALIER_CHARON_ROOT is a folder with another Debian whose charon
// is east's.
#ifndef TESTS_REKEY_LAB_H
#define TESTS_REKEY_LAB_H

#include "tests/system/ledger.h"
#include "tests/system/middle.h"
#include "tests/system/vici_client.h"

enum { WEST, EAST, RIG_CHILDREN = 4 };

struct rig_options {
    struct tunnel_options side[2];
    char *const *settings; // further options of espalierd's, or NULL
    bool card;             // west's SAs are on a simulated card
    unsigned children;     // 0: one
    unsigned snaplen;      // octets of each packet that are captured; 0: all
    bool between;          // something other than a wire lies between
    struct middle_control middle;
};
struct rig {
    struct lab lab;
    struct rig_options o;
    struct middle middle;
    int vici[2];
    char pcap[2][200];
    struct stream stream[2 * RIG_CHILDREN]; // of child n: 2n from west, 2n + 1 from east
    unsigned streams;
    uint64_t full_before[2];
};
struct flow_report { // sums over the streams
    uint64_t sent, lost, repeated, overtaken, wrong, refused, overflows, max_gap_us, late_us;
    struct ledger_losses blame[2]; // of the streams from west, from east
    uint64_t over[2];              // of overflows, of the streams from west, from east
    uint64_t full[2];  // datagrams dropped in west's and east's kernel because the daemon's socket was full
    uint64_t clear[2]; // from west, from east
    uint64_t wire_repeated;
    uint64_t spis[2];                                 // used from west, from east
    uint64_t init, auth, create_child, informational; // requests
};

struct site *rig_site(struct rig *r, int side);
bool rig_is_charon(int side);
bool rig_up(struct rig *r, const char *prefix, const struct rig_options *o); // the tunnel too
void rig_down(struct rig *r);
bool rig_start_again(struct rig *r, int side); // a daemon that has ended
bool rig_card_up(struct rig *r);               // once more; west uses it
void rig_card_kill(struct rig *r);
// Writes that end's file anew, as `o` has it from now on, and loads it.
bool rig_load(struct rig *r, int side, const struct tunnel_options *o);
bool rig_flow_start(struct rig *r, unsigned per_second, unsigned seconds); // at most that long
bool rig_flow_stop(struct rig *r, struct flow_report *f);
// No number lost, repeated or wrong, none sent twice, nothing in clear. Three losses are excused, all of them
// charon's own doing: its socket was full (it reads by the kernel's default buffer, which a busy machine
// fills); between two charons, one sent by an SA before the other could have it (as the responder of IKE_AUTH
// it does not wait; an espalierd keeps such packets until it has the SA); it ended an SA while packets were
// on their way (when it reauthenticates, the old IKE SA takes its CHILD SAs with it). So is what a charon
// sends in clear while it has no SA to send by, if an espalierd has let none of it in. They are printed.
bool flow_is_clean(const struct flow_report *f);
void flow_print(const char *what, const struct flow_report *f);

// What a daemon has; false: it does not answer.
bool rig_sas(struct rig *r, int side, struct vici_sas *sas);
const struct vici_child *installed(const struct vici_sas *sas, const char *child); // NULL: none, or several
// One IKE SA and one CHILD SA per child at both ends, with the same SPIs, nothing else. Waits for it.
bool rig_at_rest(struct rig *r, struct vici_sas at[2]);
// The same while clocks go on rekeying: what was replaced may still be there, on its way out.
bool rig_in_service(struct rig *r, struct vici_sas at[2]);
const char *child_name(unsigned n);

enum rekey { REKEY_CHILD, REKEY_IKE, REAUTHENTICATE };
bool rig_ask(struct rig *r, int side, enum rekey what, unsigned child);
bool rig_answer(struct rig *r, int side);
bool rig_both(struct rig *r, enum rekey west, enum rekey east, unsigned child); // at the same moment
// Asks, and waits until what is asked for has new SPIs at that end.
bool rig_rekey(struct rig *r, int side, enum rekey what, unsigned child);
#endif
