// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/in_clear.h"

#include <stdio.h>

#include "ctrl/config/proposal_text.h"

static bool encrypts(const struct transform *t)
{
    return t->type != TR_ENCR || (t->id != TRID_ESP_NULL && t->id != TRID_AES128_GMAC);
}

// What of it does not encrypt; NULL: it always does.
static const char *lacking(const struct child_config *k)
{
    if (k->action == POLICY_BYPASS)
        return "mode = pass";
    for (unsigned i = 0; k->action == POLICY_PROTECT && i < k->proposal_count; i++) {
        const struct proposal *p = &k->proposals[i];
        if (p->protocol == PROTO_AH)
            return "ah_proposals";
        for (unsigned j = 0; j < p->count; j++)
            if (!encrypts(&p->t[j]))
                return "esp_proposals without encryption";
    }
    return NULL;
}

bool conn_in_clear(const struct conn_config *c, char *why, size_t size)
{
    for (unsigned i = 0; i < c->child_count; i++) {
        const char *what = lacking(&c->children[i]);
        if (!what)
            continue;
        snprintf(why, size, "child %.64s lets traffic leave unencrypted (%s)", c->children[i].name, what);
        return true;
    }
    return false;
}
