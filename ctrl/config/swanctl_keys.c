// SPDX-License-Identifier: Apache-2.0
// The list of swanctl_keys.h as a table, and what its rows name: choices, and where a value goes.
#include "ctrl/config/swanctl_keys.h"

#include <string.h>

#include "ctrl/config/keys.h"

#define CHOICES(name, ...) static const struct choice name[] = {__VA_ARGS__, {NULL, 0}}
CHOICES(empty, {"", 0});
CHOICES(only_no, {"no", 0}, {"false", 0}, {"0", 0}, {"disabled", 0});
CHOICES(only_yes, {"yes", 0}, {"true", 0}, {"1", 0}, {"enabled", 0});
CHOICES(zero_time, {"0", 0}, {"0s", 0});
CHOICES(zero_mark, {"0", 0}, {"0x0", 0}, {"0/0xffffffff", 0}, {"0x0/0xffffffff", 0}, {"0/0x00000000", 0});
CHOICES(version_choices, {"0", 0}, {"2", 2});
CHOICES(dscp_choices, {"0", 0}, {"000000", 0});
CHOICES(fragmentation_choices, {"yes", FRAGMENTATION_YES}, {"accept", FRAGMENTATION_ACCEPT},
        {"no", FRAGMENTATION_NO});
CHOICES(childless_choices, {"allow", CHILDLESS_ALLOW}, {"prefer", CHILDLESS_PREFER},
        {"force", CHILDLESS_FORCE}, {"never", CHILDLESS_NEVER});
CHOICES(send_cert_choices, {"always", SEND_CERT_ALWAYS}, {"ifasked", SEND_CERT_IFASKED},
        {"never", SEND_CERT_NEVER});
CHOICES(ocsp_choices, {"reply", 0}, {"never", 1});
CHOICES(unique_choices, {"no", UNIQUE_NO}, {"never", UNIQUE_NEVER}, {"keep", UNIQUE_KEEP},
        {"replace", UNIQUE_REPLACE});
CHOICES(revocation_choices, {"relaxed", PKI_RELAXED}, {"ifuri", PKI_IFURI}, {"strict", PKI_STRICT});
CHOICES(only_relaxed, {"relaxed", 0});
CHOICES(dpd_choices, {"clear", DPD_NONE}, {"none", DPD_NONE}, {"trap", DPD_TRAP}, {"hold", DPD_TRAP},
        {"restart", DPD_START}, {"start", DPD_START});
CHOICES(action_choices, {"none", ACTION_NONE}, {"trap", ACTION_TRAP}, {"route", ACTION_TRAP},
        {"start", ACTION_START}, {"trap|start", ACTION_TRAP_START}, {"start|trap", ACTION_TRAP_START});
CHOICES(label_mode_choices, {"system", 0});
CHOICES(offload_choices, {"no", OFFLOAD_NO}, {"auto", OFFLOAD_AUTO}, {"yes", OFFLOAD_YES},
        {"crypto", OFFLOAD_CRYPTO}, {"packet", OFFLOAD_PACKET});

#define IN_CONN(member)  .offset = offsetof(struct conn_config, member)
#define IN_CHILD(member) .offset = offsetof(struct child_config, member)
#define ITEM(function)   .item = (function)
#define OCTETS(function) .octets = (function)
#define NOTHING          .offset = 0

#define GREATEST(n)  .max = (n)
#define ONE_OF(list) .choices = (list)
// What `arg` is, by kind.
#define ARG_TIME      GREATEST
#define ARG_SIZE      GREATEST
#define ARG_COUNT     GREATEST
#define ARG_NUMBER    GREATEST
#define ARG_PORT      GREATEST
#define ARG_YESNO     GREATEST
#define ARG_CHOICE    ONE_OF
#define ARG_TEXT      GREATEST
#define ARG_ITEMS     GREATEST
#define ARG_WORD      GREATEST
#define ARG_BLOBS     GREATEST
#define ARG_ONLY      ONE_OF
#define ARG_NEVER     GREATEST
#define AWAITED(text) text, true // the member behind `words`

const struct key swanctl_keys[] = {
#define K(sec, key, how, target, arg, usually, why)                                                          \
    {.section = SEC_##sec,                                                                                   \
     .name = #key,                                                                                           \
     .kind = K_##how,                                                                                        \
     target,                                                                                                 \
     ARG_##how(arg),                                                                                         \
     .usual = (usually),                                                                                     \
     .words = why},
    SWANCTL_KEYS(K)
#undef K
};
const size_t swanctl_key_count = sizeof(swanctl_keys) / sizeof(swanctl_keys[0]);

const struct key *key_find(enum key_section section, const char *name)
{
    for (size_t i = 0; i < swanctl_key_count; i++) {
        if (swanctl_keys[i].section == section && strcmp(swanctl_keys[i].name, name) == 0)
            return &swanctl_keys[i];
    }
    return NULL;
}
