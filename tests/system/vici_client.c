// SPDX-License-Identifier: Apache-2.0
// VICI packets: a length, a kind, a name where the kind has one, and a message of sections, keys and lists.
#include <arpa/inet.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/system/vici_client.h"

enum { REQUEST, RESPONSE, UNKNOWN, SUBSCRIBE, UNSUBSCRIBE, CONFIRM, NO_EVENT, EVENT };
enum { SECTION_START = 1, SECTION_END, KEY_VALUE, LIST_START, LIST_ITEM, LIST_END };
enum { PATIENCE_MS = 20000, DEPTH = 8 };

struct packet {
    uint8_t b[65536];
    uint32_t len, at;
};

int vici_open(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof(a.sun_path))
        return fd < 0 ? -1 : (close(fd), -1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void put(struct packet *p, const void *b, size_t n)
{
    if (p->len + n > sizeof(p->b))
        abort();
    memcpy(p->b + p->len, b, n);
    p->len += (uint32_t)n;
}

static void put_short_string(struct packet *p, const char *text)
{
    put(p, &(uint8_t){(uint8_t)strlen(text)}, 1);
    put(p, text, strlen(text));
}

static void begin(struct packet *p, uint8_t kind, const char *name)
{
    p->len = 4;
    put(p, &kind, 1);
    put_short_string(p, name);
}

static bool send_packet(int fd, struct packet *p)
{
    uint32_t n = htonl(p->len - 4);
    memcpy(p->b, &n, 4);
    return send(fd, p->b, p->len, MSG_NOSIGNAL) == (ssize_t)p->len;
}

static bool read_all(int fd, void *to, size_t n)
{
    uint8_t *b = to;
    while (n) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t got = poll(&p, 1, PATIENCE_MS) == 1 ? read(fd, b, n) : -1;
        if (got <= 0)
            return false;
        b += got;
        n -= (size_t)got;
    }
    return true;
}

// at stands behind the kind and, for an event, its name.
static bool next_packet(int fd, struct packet *p, uint8_t *kind)
{
    uint32_t n;
    if (!read_all(fd, &n, 4))
        return false;
    p->len = ntohl(n);
    p->at = 1;
    if (!p->len || p->len > sizeof(p->b) || !read_all(fd, p->b, p->len))
        return false;
    *kind = p->b[0];
    if (*kind == EVENT)
        p->at += p->len > 1 ? 1u + p->b[1] : 0;
    return p->at <= p->len;
}

struct item {
    uint8_t kind;
    char name[64], value[512];
};

static bool take(struct packet *p, size_t octets, char *to, size_t size)
{
    if (p->len - p->at < octets)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < octets; i++)
        n = n << 8 | p->b[p->at++];
    if (p->len - p->at < n)
        return false;
    snprintf(to, size, "%.*s", (int)n, (const char *)p->b + p->at);
    p->at += (uint32_t)n;
    return true;
}

static bool next_item(struct packet *p, struct item *it)
{
    memset(it, 0, sizeof(*it));
    if (p->at >= p->len)
        return false;
    it->kind = p->b[p->at++];
    bool named = it->kind == SECTION_START || it->kind == KEY_VALUE || it->kind == LIST_START;
    if (named && !take(p, 1, it->name, sizeof(it->name)))
        return false;
    return (it->kind != KEY_VALUE && it->kind != LIST_ITEM) || take(p, 2, it->value, sizeof(it->value));
}

bool vici_ask(int fd, const char *command, ...)
{
    static struct packet p;
    va_list ap;
    begin(&p, REQUEST, command);
    va_start(ap, command);
    for (const char *key; (key = va_arg(ap, const char *));) {
        const char *value = va_arg(ap, const char *);
        uint16_t n = htons((uint16_t)strlen(value));
        put(&p, &(uint8_t){KEY_VALUE}, 1);
        put_short_string(&p, key);
        put(&p, &n, 2);
        put(&p, value, strlen(value));
    }
    va_end(ap);
    return send_packet(fd, &p);
}

bool vici_answer(int fd, char *why, size_t size)
{
    static struct packet p;
    struct item it;
    uint8_t kind;
    bool ok = true;
    snprintf(why, size, "no answer");
    do {
        if (!next_packet(fd, &p, &kind))
            return false;
    } while (kind == EVENT);
    if (kind != RESPONSE) {
        snprintf(why, size, "unknown command");
        return false;
    }
    snprintf(why, size, "no reason given");
    while (next_item(&p, &it)) {
        if (it.kind == KEY_VALUE && !strcmp(it.name, "success"))
            ok = !strcmp(it.value, "yes");
        else if (it.kind == KEY_VALUE && !strcmp(it.name, "errmsg"))
            snprintf(why, size, "%s", it.value);
    }
    return ok;
}

static void note_sa(struct vici_sa *sa, const struct item *it)
{
    if (!strcmp(it->name, "state"))
        snprintf(sa->state, sizeof(sa->state), "%.15s", it->value);
    else if (!strcmp(it->name, "uniqueid"))
        sa->id = (unsigned)strtoul(it->value, NULL, 10);
    else if (!strcmp(it->name, "initiator-spi"))
        sa->spi_i = strtoull(it->value, NULL, 16);
    else if (!strcmp(it->name, "responder-spi"))
        sa->spi_r = strtoull(it->value, NULL, 16);
}

static void note_child(struct vici_child *c, const struct item *it)
{
    if (!strcmp(it->name, "name"))
        snprintf(c->name, sizeof(c->name), "%.31s", it->value);
    else if (!strcmp(it->name, "state"))
        snprintf(c->state, sizeof(c->state), "%.15s", it->value);
    else if (!strcmp(it->name, "uniqueid"))
        c->id = (uint32_t)strtoul(it->value, NULL, 10);
    else if (!strcmp(it->name, "spi-in"))
        c->spi_in = (uint32_t)strtoul(it->value, NULL, 16);
    else if (!strcmp(it->name, "spi-out"))
        c->spi_out = (uint32_t)strtoul(it->value, NULL, 16);
    else if (!strcmp(it->name, "packets-in"))
        c->packets_in = strtoull(it->value, NULL, 10);
    else if (!strcmp(it->name, "packets-out"))
        c->packets_out = strtoull(it->value, NULL, 10);
}

// One event list-sa: NAME { ... child-sas { NAME-ID { ... } } }
static void note_event(struct packet *p, struct vici_sas *out)
{
    struct vici_sa *sa = NULL, dummy_sa;
    struct vici_child *c = NULL, dummy_child;
    struct item it;
    for (int depth = 0; next_item(p, &it);) {
        if (it.kind == SECTION_START && ++depth == 1) {
            out->beyond += out->count == VICI_SAS;
            sa = out->count < VICI_SAS ? &out->sa[out->count++] : &dummy_sa;
            memset(sa, 0, sizeof(*sa));
            snprintf(sa->name, sizeof(sa->name), "%.31s", it.name);
            sa->first = out->children_count;
        } else if (it.kind == SECTION_START && depth == 3) {
            out->beyond += out->children_count == VICI_CHILDREN;
            c = out->children_count < VICI_CHILDREN ? &out->child[out->children_count++] : &dummy_child;
            memset(c, 0, sizeof(*c));
            sa->count++;
        } else if (it.kind == SECTION_END) {
            depth--;
        } else if (it.kind == KEY_VALUE && depth == 1) {
            note_sa(sa, &it);
        } else if (it.kind == KEY_VALUE && depth == 3) {
            note_child(c, &it);
        }
    }
    if (sa && sa != &dummy_sa && strcmp(sa->state, "LOST") == 0) {
        out->survivors += sa->count;
        out->children_count = sa->first;
        out->count--;
    }
}

static bool subscribe(int fd, uint8_t how)
{
    static struct packet p;
    uint8_t kind;
    begin(&p, how, "list-sa");
    if (!send_packet(fd, &p))
        return false;
    do {
        if (!next_packet(fd, &p, &kind))
            return false;
    } while (kind == EVENT);
    return kind == CONFIRM;
}

bool vici_list_sas(int fd, struct vici_sas *out)
{
    static struct packet p;
    uint8_t kind;
    memset(out, 0, sizeof(*out));
    if (!subscribe(fd, SUBSCRIBE) || !vici_ask(fd, "list-sas", NULL))
        return false;
    do {
        if (!next_packet(fd, &p, &kind))
            return false;
        if (kind == EVENT)
            note_event(&p, out);
    } while (kind == EVENT);
    return kind == RESPONSE && subscribe(fd, UNSUBSCRIBE);
}
