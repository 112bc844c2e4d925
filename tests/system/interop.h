// SPDX-License-Identifier: Apache-2.0
// One cell of the interoperability matrix: two sites, one of them espalierd's and one strongSwan's, west
// always the one that begins, a way to authenticate and a feature.
#ifndef TESTS_INTEROP_H
#define TESTS_INTEROP_H

#include "tests/system/harness.h"

struct method {
    const char *name;
    const char *key;  // of whoever shows a certificate: arguments of `openssl genpkey -algorithm`; NULL: none
    const char *auth; // in swanctl.conf for such a key; NULL: pubkey
    const char *with; // how both daemons' logs call a signature by it
    const char *eap;  // west authenticates itself by that method
    bool ppk;
};
extern const struct method interop_methods[];
extern const unsigned interop_method_count;

bool interop_files_make(char dir[96]); // authorities, keys and certificates, for all cells of a run
void interop_files_drop(const char *dir);

struct ends { // what swanctl.conf says at west and east
    struct tunnel_options side[2];
    char local[2][200], remote[2][200], conn[2][400], secrets[400];
};
// With chain, east shows a certificate whose issuer's issuer is below the root, whatever the method says of
// it. The files are put into both sites' folders; `conn` and `secrets` may be appended to afterwards.
bool interop_authentication(const struct method *m, bool chain, const char *files, struct lab *l,
                            struct ends *e);
// Both logs say that the other end was authenticated as the method says.
bool interop_authenticated(const struct method *m, bool chain, struct lab *l);

#endif
