// SPDX-License-Identifier: Apache-2.0
// What the kernel set is made of: entries, the values under them, tables, references. For kset.c alone.
#ifndef CTRL_PATH_KSET_ENTRIES_H
#define CTRL_PATH_KSET_ENTRIES_H

#include <sys/queue.h>

#include "ctrl/lib/hash.h"
#include "ctrl/path/kset.h"
#include "ctrl/path/kset_objects.h"
#include "ctrl/path/kset_values.h"

struct entry;
struct value {
    struct value *next;
    struct entry *entry; // whose key it is under
    unsigned refs;
    struct kvalue v; // last: of its own length
};
TAILQ_HEAD(entry_list, entry);
struct entry {
    struct hash_node node; // by key
    TAILQ_ENTRY(entry) link;
    struct value *values;
    bool present;
    uint8_t on; // enum on_list
    bool left;  // an earlier run's: kept until it is swept, or asked for and had
    // kset_entry_now: in the kernel where present; otherwise only its key counts. As long as one of its kind
    // and family is: each loaded connection has half a dozen entries.
    uint8_t now[];
};
enum on_list { ON_NONE, ON_TOUCHED, ON_WRONG }; // NONE: it is as it should be
struct left {              // the value that an earlier run has left; few entries have one
    struct hash_node node; // by its entry
    struct entry *entry;
    LIST_ENTRY(left) let; // of those that let something by in clear
    bool behind;          // it counts only where nobody asks for anything
    struct kobj o;
};
struct group { // the rules' selectors and their tables
    struct hash_node node;
    struct kobj selector; // a rule without its table
    uint32_t table;
    unsigned refs;
    LIST_ENTRY(group) link; // of those that an earlier run left
};
struct ref {
    struct value *value;
    struct group *group; // of rules and routes
};
struct refs {
    struct ref *r;
    unsigned count, room;
};
struct kset_hold {
    LIST_ENTRY(kset_hold) link;
    struct refs objects, sources;
    struct kset_spec spec; // points at the selectors
    struct ts selectors[];
};
struct kset {
    struct kernel *k;
    struct kset_options o;
    struct hash entries, groups, lefts;
    struct entry_list touched, wrong;
    LIST_HEAD(, kset_hold) holds;
    LIST_HEAD(, group) left;
    LIST_HEAD(, left) lets;
    unsigned wrong_count;
    bool swept;
    bool forgot; // what is in the kernel, for want of memory: it may let something by
    bool guards; // what an earlier life has left blocks on, whatever is asked for and dropped
    uint8_t tables[(KERNEL_TABLES + 7) / 8]; // in use
    unsigned table_hint;
    bool lost;     // the kernel has to be asked for everything
    bool tun_down; // nothing leads into it until it is up
    struct kset_sources sources;
};
struct taking {
    struct kset *s;
    struct refs *to;
};

struct entry *kset_entry_find(const struct kset *s, const struct kobj *o);
struct entry *kset_entry_make(struct kset *s, const struct kobj *o);
struct kobj kset_entry_now(const struct entry *e);
void kset_entry_is(struct entry *e, const struct kobj *o); // of the same key: it is in the kernel so
void kset_entry_put_on(struct kset *s, struct entry *e, enum on_list list);
// It is of an earlier run. False: no memory for its value.
bool kset_entry_found(struct kset *s, struct entry *e, const struct kobj *o);
void kset_entry_forget(struct kset *s, struct entry *e);
void kset_entry_mine(struct kset *s, struct entry *e); // no longer only of an earlier run
// It is asked for, and had: mine, unless it is to block on.
void kset_entry_adopt(struct kset *s, struct entry *e);
void kset_entry_close(struct kset *s, struct entry *e); // what it has left lets nothing by any more
struct kobj kset_value_object(const struct value *v);
bool kset_entry_wanted(const struct kset *s, const struct entry *e, struct kobj *out); // false: nothing
bool kset_entry_settled(const struct kset *s, const struct entry *e);
unsigned kset_settle(struct kset *s, struct entry_list *list, struct esp_error *err);
void kset_group_selector(const struct kobj *rule, struct kobj *out);
struct group *kset_group_find(const struct kset *s, const struct kobj *selector);
void kset_table_mark(struct kset *s, uint32_t table, bool used);
struct group *kset_group_make(struct kset *s, const struct kobj *selector, uint32_t table);
void kset_group_drop(struct kset *s, struct group *g);
void kset_refs_settle(struct refs *r); // no more come: there is room for no more
void kset_refs_drop(struct kset *s, struct refs *r);
int kset_take_object(void *ctx, const struct kobj *o, const struct kobj *behind);

#endif
