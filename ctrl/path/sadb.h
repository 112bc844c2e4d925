// SPDX-License-Identifier: Apache-2.0
// What the files of child SAs share: sadb.c, sadb_install.c, sadb_move.c.
#ifndef CTRL_PATH_SADB_H
#define CTRL_PATH_SADB_H

#include "ctrl/path/path.h"

// A line about that SA, which its fields name.
#define LOGF_SA(level, child, ...) LOGF_CHILD(ESP, level, (child)->c.name, (child)->c.child_id, __VA_ARGS__)

// sadb.c
void sadb_hold(struct child *c); // whoever works on a child that its own packets may free holds it meanwhile
void sadb_let_go(struct path *p, struct child *c);
void sadb_begin_delete(struct path *p, struct child *c);
void sadb_report(struct path *p, struct child *c, bool ok, const char *text); // to keys, once
void sadb_next_keys(struct path *p); // it numbers its questions anew: those of the last one have no answer

void sadb_slot(struct path *p, struct half *h, bool takes); // one of the card's

// sadb_install.c
bool sadb_want_card(const struct path *p, const struct child *c, enum offload_mode *mode);

// sadb_move.c
// Software has let go of it: into the card, or back where that has gone again or has no room.
void sadb_arrive_home(struct path *p, struct half *h, struct esp_error *err);
bool sadb_let_leave(struct half *h);  // the card; false: that has failed
bool sadb_seen_room(struct child *c); // so that its inbound half can leave an engine; false: no memory
void sadb_no_seen(struct child *c);
static inline size_t child_seen_octets(const struct child *c) // of the window that is handed over
{
    uint32_t window = c->c.replay_window < ESP_MAX_WINDOW ? c->c.replay_window : ESP_MAX_WINDOW;
    return (window + 63) / 64 * sizeof(c->seen[0]);
}
bool sadb_is_home(const struct path *p, const struct child *c);

#endif
