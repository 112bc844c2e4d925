// SPDX-License-Identifier: Apache-2.0
// What outlives `keys`: the shared secrets and private keys that were loaded, for the next one where one
// dies. Nobody else can give them again, as `ctl` keeps none and operators load them once. They are in a
// memory file (ctrl/lib/records.h) of which the supervisor holds the descriptor, mapped nowhere, and gives it
// to `keys` alone: it is on no disk, has no name, and goes with the daemon. As the process that has it mapped
// dies its pages are no longer locked, until the next one locks them again, a tenth of a second later. What
// is unloaded is overwritten there, too. Of passwords the NT hash alone is in it, as in `keys`. SK_d of IKE
// SAs, Diffie-Hellman values and the keys of tickets are not: they die with `keys`.
#ifndef CTRL_KEYS_SECRETS_FILE_H
#define CTRL_KEYS_SECRETS_FILE_H

#include "ctrl/keys/private.h"
#include "ctrl/keys/psk.h"
#include "ctrl/lib/records.h"

enum { SECRETS_BYTES_MAX = 512 << 20, SECRETS_MOST = PSK_SECRETS_MAX + 2 * PRIVATE_KEYS_MAX };

static inline int secrets_file_new(void) // the file: a descriptor, or -errno. Close-on-exec
{
    return records_file("espalier-secrets", SECRETS_BYTES_MAX);
}

enum secret_what { SECRET_SHARED, SECRET_PRIVATE };
struct secret { // slices: until the next call
    uint64_t number;
    enum secret_what what;
    char name[NAME_MAX_LEN], type[16]; // name: of a shared one, "" of a private one
    uint8_t id[PRIVATE_ID];            // of a private one
    struct slice data, owners;         // as psk_load and private_load take them
};
struct secrets_file;
struct secrets_file *secrets_file_open(int fd); // takes it. NULL: no memory, or it cannot be read
void secrets_file_close(struct secrets_file *f);
// 0 or -errno: the next one will not have it, nor what stood in its place. f may be NULL: there is no next
// one.
int secrets_file_put_shared(struct secrets_file *f, const char *name, const char *type, struct slice data,
                            struct slice owners);
int secrets_file_put_private(struct secrets_file *f, const uint8_t id[PRIVATE_ID], const char *type,
                             struct slice der);
void secrets_file_drop_shared(struct secrets_file *f, const char *name);
void secrets_file_drop_private(struct secrets_file *f, struct slice id);
void secrets_file_clear(struct secrets_file *f);
// The first one behind that number, in the order of loading; missing: of those that are said to be. 1. 0:
// there is none. Or -errno.
int secrets_file_next(struct secrets_file *f, uint64_t after, bool missing, struct secret *out);
bool secrets_file_is_missing(struct secrets_file *f, uint64_t number, bool missing); // before

#endif
