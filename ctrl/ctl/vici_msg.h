// SPDX-License-Identifier: Apache-2.0
// The VICI wire format: packets (a type, for some a name, for some a message) and messages (nested sections,
// lists and key/values). A received message becomes a tree that owns copies of all names and values; a
// message to be sent is built with a sticky error, so that only the last call needs to be checked.
#ifndef CTRL_CTL_VICI_MSG_H
#define CTRL_CTL_VICI_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "espalier/error.h"

enum {
    VICI_MAX_FRAME = 512 * 1024, // octets after the length field
    VICI_MAX_DEPTH = 12,         // sections inside sections; a connection needs 4
    VICI_MAX_ELEMENTS = 32768,
    VICI_MAX_NAME = 255,
};

enum vici_packet {
    VICI_CMD_REQUEST = 0,
    VICI_CMD_RESPONSE = 1,
    VICI_CMD_UNKNOWN = 2,
    VICI_EVENT_REGISTER = 3,
    VICI_EVENT_UNREGISTER = 4,
    VICI_EVENT_CONFIRM = 5,
    VICI_EVENT_UNKNOWN = 6,
    VICI_EVENT = 7,
    VICI_PACKET_COUNT
};

enum vici_element {
    VICI_SECTION_START = 1,
    VICI_SECTION_END = 2,
    VICI_KEY_VALUE = 3,
    VICI_LIST_START = 4,
    VICI_LIST_ITEM = 5,
    VICI_LIST_END = 6,
};

enum vici_kind { VICI_SECTION, VICI_VALUE, VICI_LIST, VICI_ITEM };

struct vici_node {
    enum vici_kind kind;
    const char *name;     // ends in NUL; "" for list items and the root
    const uint8_t *value; // VICI_VALUE and VICI_ITEM; a NUL follows it
    size_t len;
    struct vici_node *parent, *child, *next;
};

struct vici_msg {
    struct vici_node *root;
    size_t count;
    // owned
    struct vici_node *nodes;
    uint8_t *arena;
    size_t arena_len;
};

// Parses a whole message. 0, or -EBADMSG with what was wrong and at which octet, -E2BIG over a limit,
// -ENOMEM.
int vici_msg_parse(struct vici_msg *m, const uint8_t *data, size_t len, struct esp_error *err);
void vici_msg_free(struct vici_msg *m); // wipes the copies: values may be secrets

const struct vici_node *vici_find(const struct vici_node *section, const char *name); // NULL: absent
// The value as text; NULL when absent, not a value, or holding a NUL.
const char *vici_text(const struct vici_node *value);
const char *vici_get(const struct vici_node *section, const char *name);
bool vici_get_yes(const struct vici_node *section, const char *name, bool absent);
// A decimal number; `absent` where the key is missing or is not one.
uint64_t vici_get_num(const struct vici_node *section, const char *name, uint64_t absent);

struct vici_out {
    uint8_t *data; // starts with the 4 octets of the frame length and the packet's head
    size_t len, cap;
    unsigned depth;
    bool in_list;
    int error; // sticky: 0, -ENOMEM, -E2BIG, -EINVAL (unbalanced, bad name)
};

// A frame for sending: begin, put ..., finish. vici_out_finish fills in the length and returns the sticky
// error.
void vici_out_begin(struct vici_out *o, enum vici_packet type, const char *name);
int vici_out_finish(struct vici_out *o);
void vici_out_free(struct vici_out *o);

void vici_section(struct vici_out *o, const char *name);
void vici_section_end(struct vici_out *o);
void vici_list(struct vici_out *o, const char *name);
void vici_item(struct vici_out *o, const char *text);
void vici_item_blob(struct vici_out *o, const void *data, size_t len);
void vici_list_end(struct vici_out *o);
void vici_put(struct vici_out *o, const char *name, const char *text);
void vici_put_blob(struct vici_out *o, const char *name, const void *data, size_t len);
// All that is in a section, nodes and octets as they are.
void vici_put_all(struct vici_out *o, const struct vici_node *section);
__attribute__((format(printf, 3, 4))) void vici_putf(struct vici_out *o, const char *name, const char *fmt,
                                                     ...);

#endif
