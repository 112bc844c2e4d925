// SPDX-License-Identifier: Apache-2.0
// See pki_rig.h.
#include "tests/unit/pki_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "ctrl/lib/conn.h"

int64_t rig_now(void)
{
    return (int64_t)time(NULL) + 60; // certificates are made a moment before, or in the same second
}

// Few processes: on a busy machine they are what a test waits for.
void rig_cert(const char *name, const char *issuer, const char *extensions)
{
    char by[200] = "";
    pki_write("ext.cnf", "[req]\ndistinguished_name=d\nx509_extensions=e\n[d]\n[e]\n%s", extensions);
    if (issuer)
        snprintf(by, sizeof(by), "-CA %s.crt -CAkey %s.pem", issuer, issuer);
    pki_run("key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.pem'; "
            "[ ! -e %s.pem ] || key='-key %s.pem'; "
            "openssl req -x509 -config ext.cnf $key -subj '/C=CH/O=Lab/CN=%s' %s -days 3650 -out %s.crt && "
            "openssl x509 -in %s.crt -outform DER -out %s.der",
            name, name, name, name, by, name, name, name);
}

struct slice rig_der(const char *name)
{
    char file[80];
    snprintf(file, sizeof(file), "%s.der", name);
    return pki_read(file);
}

void rig_add(struct pki *p, enum pki_kind kind, const char *name)
{
    struct esp_error err = {0};
    struct slice der = rig_der(name);
    int rc = pki_add(p, kind, der.p, der.len, &err);
    if (rc < 0)
        fail_msg("%s: %s: %s", name, err.field, err.text);
}

static uint8_t id_octets(const char *text, uint8_t *out, size_t cap, size_t *len)
{
    struct addr a;
    const char *value = strchr(text, ':') + 1;
    *len = strlen(value);
    assert_true(*len <= cap);
    memcpy(out, value, *len);
    if (strncmp(text, "dns:", 4) == 0)
        return 2;
    if (strncmp(text, "email:", 6) == 0)
        return 3;
    if (strncmp(text, "ip:", 3) == 0) {
        assert_true(addr_parse(value, &a));
        *len = a.family == 4 ? 4 : 16;
        memcpy(out, a.a, *len);
        return a.family == 4 ? 1 : 5;
    }
    if (strncmp(text, "dn:", 3) == 0)
        assert_int_equal(dn_parse(value, out, cap, len), 0);
    return strncmp(text, "dn:", 3) == 0 ? 9 : 11;
}

enum pki_verdict rig_judge(struct pki *p, const struct rig_try *t, struct pki_check **c,
                           struct esp_error *err)
{
    struct slice certs[32];
    char list[400], *save = NULL;
    uint8_t id[1024];
    size_t n = 0, id_len = 0;
    snprintf(list, sizeof(list), "%s", t->certs);
    for (char *s = strtok_r(list, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
        assert_true(n < 32);
        certs[n++] = rig_der(s);
    }
    struct pki_peer peer = {.certs = certs, .count = n};
    peer.id_type = id_octets(t->id, id, sizeof(id), &id_len);
    peer.id = slice_of(id, id_len);
    return pki_check_begin(p, &t->rules, &peer, t->now ? t->now : rig_now(), c, err);
}

void rig_valid(struct pki *p, const struct rig_try *t)
{
    struct esp_error err = {0};
    struct pki_check *c = NULL;
    enum pki_verdict v = rig_judge(p, t, &c, &err);
    if (v != PKI_VALID)
        fail_msg("%s for %s: got verdict %d, \"%s\", expected it to be valid", t->certs, t->id, v, err.text);
    assert_non_null(pki_check_key(c));
    pki_check_free(c);
}

void rig_refused(struct pki *p, const struct rig_try *t, const char *says)
{
    struct esp_error err = {0};
    struct pki_check *c = NULL;
    enum pki_verdict v = rig_judge(p, t, &c, &err);
    if (v != PKI_REFUSED || c || !strstr(err.text, says))
        fail_msg("%s for %s: got verdict %d, \"%s\", expected a refusal with \"%s\"", t->certs, t->id, v,
                 err.text, says);
}
