// SPDX-License-Identifier: Apache-2.0
// The directories of credentials beside a swanctl.conf, read as swanctl --load-creds reads them.
#ifndef CTRL_CONFIG_SWANCTL_CREDS_H
#define CTRL_CONFIG_SWANCTL_CREDS_H

#include <stdbool.h>
#include <stdint.h>

#include "espalier/error.h"

// A section private*, rsa*, ecdsa*, pkcs8* or pkcs12* of `secrets`: the password of a file in the directory
// of that name.
struct file_secret {
    struct file_secret *next;
    const char *folder; // "private"
    bool used;          // a file of that name is there
    const char *where;  // of the tree
    char *file, *secret, *path;
};
void file_secrets_free(struct file_secret **list); // wipes

struct creds_report {
    void *ctx;
    void (*fault)(void *ctx, const char *where, const char *path, const char *text);
    void (*warn)(void *ctx, const char *where, const char *path, const char *text);
    // That are right, where they are not NULL. flag: of load-cert, or NULL.
    void (*cert)(void *ctx, uint8_t kind, const char *flag, const uint8_t *der, size_t len);
    void (*key)(void *ctx, const uint8_t id[20], const uint8_t *der, size_t len);
    // The password of a file that no secret has, into `password`: 0; -ENOTTY: there is nobody to ask, which
    // is a fault. NULL: it stays encrypted, which is said.
    int (*ask)(void *ctx, const char *file, char *password, size_t size);
};

// Every file of them, and every secret that no file has. A directory that is not there holds nothing. 0, or
// -ENOMEM.
int creds_check(const char *dir, struct file_secret *secrets, const struct creds_report *report);
// The file that `certs`, `cacerts` or `pubkeys` of a connection names, or `cacert` of an authority: relative
// to its directory beside the swanctl.conf. 0, or a negative errno with the path and the reason.
int creds_read(const char *dir, const char *key, const char *name, uint8_t **data, size_t *len,
               struct esp_error *err);

#endif
