// SPDX-License-Identifier: Apache-2.0
// What the fleet's room shows etcd and whom it believes, in a memory file that the supervisor fills as root:
// three PEM files one behind the other, each behind its length (u32): authorities, certificate, private key.
// What is not configured is empty.
#ifndef CTRL_FLEET_TLS_FILE_H
#define CTRL_FLEET_TLS_FILE_H

#include "ctrl/lib/settings.h"
#include "ctrl/lib/slice.h"
#include "espalier/error.h"

enum { TLS_FILE_MOST = 256 << 10 }; // octets of each

struct tls_files {
    struct slice ca, cert, key; // in `all`
    uint8_t *all;
    size_t len;
};
// Of what is configured. 0, or -errno naming the file.
int tls_files_read(struct tls_files *t, const struct settings *s, struct esp_error *err);
void tls_files_free(struct tls_files *t); // wipes them
// To a memory file, sealed and close-on-exec, and from it. A descriptor or 0, or -errno.
int tls_files_put(const struct tls_files *t);
int tls_files_take(struct tls_files *t, int fd);

#endif
