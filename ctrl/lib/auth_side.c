// SPDX-License-Identifier: Apache-2.0
// Lists of octets, and the written form of one end's authentication.
#include "ctrl/lib/auth_side.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int blobs_add(struct blobs *l, struct slice s)
{
    if (!s.len || s.len > BLOB_MAX_LEN)
        return -EMSGSIZE;
    if (l->count == BLOBS_MAX)
        return -ENOSPC;
    struct blob *more = realloc(l->b, (l->count + 1u) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    l->b = more;
    uint8_t *p = malloc(s.len);
    if (!p)
        return -ENOMEM;
    memcpy(p, s.p, s.len);
    l->b[l->count++] = (struct blob){p, (uint32_t)s.len};
    return 0;
}

void blobs_clear(struct blobs *l)
{
    for (unsigned i = 0; i < l->count; i++)
        free(l->b[i].p);
    free(l->b);
    *l = (struct blobs){0};
}

struct slice blobs_at(const struct blobs *l, unsigned i)
{
    return i < l->count ? slice_of(l->b[i].p, l->b[i].len) : slice_of(NULL, 0);
}

static void blobs_write(struct writer *w, const struct blobs *l)
{
    wr_u8(w, l->count);
    for (unsigned i = 0; i < l->count; i++)
        wr_slice16(w, blobs_at(l, i));
}

static void blobs_read(struct reader *r, struct blobs *l)
{
    unsigned n = rd_u8(r);
    for (unsigned i = 0; i < n && !r->bad; i++) {
        struct slice s = rd_slice16(r);
        int rc = r->bad ? 0 : blobs_add(l, s);
        if (rc == -ENOMEM)
            rd_no_memory(r);
        else if (rc != 0)
            r->bad = true;
    }
}

// Fields in the order of the struct; one list serves both directions.
// clang-format off
#define SIDE_SCALARS(F) F(32, round) F(8, auth) F(8, eap_type) F(8, revocation) F(32, schemes) F(32, cert_hashes) F(16, rsa_bits) F(16, ecdsa_bits)
#define SIDE_BLOBS(F)   F(certs) F(cacerts) F(pubkeys) F(cert_policy)
// clang-format on

const char *auth_id(const struct auth_side *s, enum auth_id which)
{
    return s->ids[which] ? s->ids[which] : "";
}

int auth_set_id(struct auth_side *s, enum auth_id which, const char *id)
{
    if (strlen(id) >= ID_MAX_LEN)
        return -EMSGSIZE;
    char *copy = id[0] ? strdup(id) : NULL;
    if (id[0] && !copy)
        return -ENOMEM;
    free(s->ids[which]);
    s->ids[which] = copy;
    return 0;
}

static void read_id(struct reader *r, struct auth_side *s, enum auth_id which)
{
    char id[ID_MAX_LEN];
    rd_cstr(r, id, sizeof(id));
    if (!r->bad && auth_set_id(s, which, id) != 0)
        rd_no_memory(r);
}

void auth_side_clear(struct auth_side *s)
{
    for (unsigned i = 0; i < AUTH_IDS; i++)
        free(s->ids[i]);
#define F(name) blobs_clear(&s->name);
    SIDE_BLOBS(F)
#undef F
    memset(s, 0, sizeof(*s));
}

void auth_side_write(struct writer *w, const struct auth_side *s)
{
    for (unsigned i = 0; i < AUTH_IDS; i++)
        wr_cstr(w, auth_id(s, (enum auth_id)i));
#define F(bits, name) wr_num(w, s->name);
    SIDE_SCALARS(F)
#undef F
#define F(name) blobs_write(w, &s->name);
    SIDE_BLOBS(F)
#undef F
}

void auth_side_read(struct reader *r, struct auth_side *s)
{
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < AUTH_IDS; i++)
        read_id(r, s, (enum auth_id)i);
#define F(bits, name) s->name = (uint##bits##_t)rd_num(r, UINT##bits##_MAX);
    SIDE_SCALARS(F)
#undef F
#define F(name) blobs_read(r, &s->name);
    SIDE_BLOBS(F)
#undef F
    if ((s->auth == AUTH_EAP) != (s->eap_type == EAP_TLS || s->eap_type == EAP_MSCHAPV2))
        r->bad = true;
    if (s->auth > AUTH_EAP || s->revocation > PKI_STRICT)
        r->bad = true;
}
