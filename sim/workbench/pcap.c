// SPDX-License-Identifier: Apache-2.0
// Classic pcap files (draft-ietf-opsawg-pcap): reader and writer that keep byte order, time unit, link type
// and time stamps as they are. Link types: Ethernet (1, with 802.1Q/802.1ad tags), raw IP (101, and 12 of
// some systems), IPv4 (228) and IPv6 (229); all others, and pcapng, are refused by name.
#include "sim/workbench/pcap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/workbench/util.h"

enum {
    MAGIC_US = 0xa1b2c3d4u,
    MAGIC_NS = 0xa1b23c4du,
    MAGIC_KUZNETZOV = 0xa1b2cd34u, // longer record headers
    MAGIC_NG = 0x0a0d0d0au,
    FILE_HEADER = 24,
    RECORD_HEADER = 16,
};

struct pcap_reader {
    FILE *f;
    char path[256];
    bool swapped;
    uint8_t header[FILE_HEADER];
    enum pcap_link link;
    unsigned long record;
    uint8_t buf[PCAP_MAX_PACKET];
};

struct pcap_writer {
    FILE *f;
    char *path, *temporary; // temporary is NULL where a device or pipe is written itself
    bool swapped;
};

static uint32_t host32(const uint8_t *p, bool swapped)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return swapped ? __builtin_bswap32(v) : v;
}

static void file32(uint8_t *p, uint32_t v, bool swapped)
{
    if (swapped)
        v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}

static int check_magic(struct pcap_reader *r, struct esp_error *err)
{
    uint32_t magic = host32(r->header, false), other = host32(r->header, true);

    if (magic == MAGIC_US || magic == MAGIC_NS)
        return 0;
    r->swapped = true;
    if (other == MAGIC_US || other == MAGIC_NS)
        return 0;
    if (magic == MAGIC_NG)
        return esp_fail(err, -EINVAL, r->path,
                        "is a pcapng file, expected classic pcap (editcap -F pcap converts it)");
    if (magic == MAGIC_KUZNETZOV || other == MAGIC_KUZNETZOV)
        return esp_fail(err, -EINVAL, r->path,
                        "is a pcap file of the modified (Kuznetzov) kind, expected classic pcap");
    return esp_fail(err, -EINVAL, r->path, "is no pcap file: it starts with 0x%08x", magic);
}

static const char *link_name(uint32_t link)
{
    static const struct {
        uint32_t number;
        const char *name;
    } names[] = {
        {0, "BSD loopback"},    {9, "PPP"},
        {105, "IEEE 802.11"},   {108, "OpenBSD loopback"},
        {113, "Linux cooked"},  {127, "IEEE 802.11 radiotap"},
        {192, "PPI"},           {276, "Linux cooked v2"},
        {14, "OpenBSD raw IP"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].number == link)
            return names[i].name;
    return "unknown";
}

static int check_link(struct pcap_reader *r, struct esp_error *err)
{
    uint32_t field = host32(r->header + 20, r->swapped), link = field & 0xffff;

    if (field & 0xfc000000u)
        return esp_fail(err, -EINVAL, r->path,
                        "keeps frame check sequences (link field 0x%08x), expected none", field);
    switch (link) {
    case 1: r->link = PCAP_LINK_ETHERNET; return 0;
    case 12:
    case 101: r->link = PCAP_LINK_RAW; return 0;
    case 228: r->link = PCAP_LINK_IPV4; return 0;
    case 229: r->link = PCAP_LINK_IPV6; return 0;
    default:
        return esp_fail(err, -EINVAL, r->path,
                        "link type %u (%s), expected Ethernet (1) or raw IP (101, 12, 228, 229)", link,
                        link_name(link));
    }
}

int pcap_open(struct pcap_reader **out, const char *path, struct esp_error *err)
{
    struct pcap_reader *r = calloc(1, sizeof(*r));
    int ret;

    if (!r)
        return esp_fail(err, -ENOMEM, path, "out of memory");
    snprintf(r->path, sizeof(r->path), "%s", path);
    r->f = fopen(path, "rb");
    if (!r->f) {
        ret = esp_fail(err, -errno, path, "cannot be opened: %s", strerror(errno));
    } else if (fread(r->header, 1, FILE_HEADER, r->f) != FILE_HEADER) {
        ret = esp_fail(err, -EINVAL, path, "is no pcap file: shorter than its 24-octet header");
    } else {
        ret = check_magic(r, err);
        if (ret == 0)
            ret = check_link(r, err);
    }
    if (ret != 0)
        pcap_close(r);
    else
        *out = r;
    return ret;
}

enum pcap_link pcap_link(const struct pcap_reader *r)
{
    return r->link;
}

int pcap_next(struct pcap_reader *r, struct pcap_packet *p, struct esp_error *err)
{
    uint8_t h[RECORD_HEADER];
    size_t got = fread(h, 1, sizeof(h), r->f);

    if (got == 0 && feof(r->f))
        return 0;
    r->record++;
    if (got != sizeof(h))
        return esp_fail(err, -EINVAL, r->path, "packet %lu: the file ends inside the record header",
                        r->record);
    p->sec = host32(h, r->swapped);
    p->frac = host32(h + 4, r->swapped);
    p->len = host32(h + 8, r->swapped);
    p->wire_len = host32(h + 12, r->swapped);
    p->data = r->buf;
    if (p->len > PCAP_MAX_PACKET)
        return esp_fail(err, -EINVAL, r->path, "packet %lu: %u octets, expected at most %d", r->record,
                        p->len, PCAP_MAX_PACKET);
    if (p->len > p->wire_len)
        return esp_fail(err, -EINVAL, r->path, "packet %lu: %u octets captured of %u", r->record, p->len,
                        p->wire_len);
    if (fread(r->buf, 1, p->len, r->f) != p->len)
        return esp_fail(err, -EINVAL, r->path, "packet %lu: the file ends inside the packet", r->record);
    return 1;
}

void pcap_close(struct pcap_reader *r)
{
    if (!r)
        return;
    if (r->f)
        fclose(r->f);
    free(r);
}

int pcap_create(struct pcap_writer **out, const char *path, const struct pcap_reader *like,
                struct esp_error *err)
{
    struct pcap_writer *w;
    uint8_t header[FILE_HEADER];
    struct stat st;
    int ret;
    bool direct = stat(path, &st) == 0 && !S_ISREG(st.st_mode); // the rename would replace it

    if (direct && S_ISDIR(st.st_mode))
        return esp_fail(err, -EISDIR, path, "is a directory, expected a file");
    w = calloc(1, sizeof(*w));
    if (!w || !(w->path = wb_target(path)) ||
        (!direct && asprintf(&w->temporary, "%s.XXXXXX", w->path) < 0)) {
        if (w)
            free(w->path);
        free(w);
        return esp_fail(err, -ENOMEM, path, "out of memory");
    }
    w->f = direct ? fopen(path, "wb") : wb_temporary_open(w->temporary);
    if (!w->f) {
        ret = esp_fail(err, -errno, path, "cannot be written: %s", strerror(errno));
        pcap_abandon(w);
        return ret;
    }
    w->swapped = like->swapped;
    memcpy(header, like->header, sizeof(header));
    file32(header + 16, PCAP_MAX_PACKET, w->swapped); // encapsulation may pass the input's snap length
    if (fwrite(header, 1, sizeof(header), w->f) != sizeof(header)) {
        ret = esp_fail(err, -EIO, path, "cannot be written: %s", strerror(errno));
        pcap_abandon(w);
        return ret;
    }
    *out = w;
    return 0;
}

int pcap_write(struct pcap_writer *w, const struct pcap_packet *p, struct esp_error *err)
{
    uint8_t h[RECORD_HEADER];

    file32(h, p->sec, w->swapped);
    file32(h + 4, p->frac, w->swapped);
    file32(h + 8, p->len, w->swapped);
    file32(h + 12, p->wire_len, w->swapped);
    if (fwrite(h, 1, sizeof(h), w->f) != sizeof(h) || fwrite(p->data, 1, p->len, w->f) != p->len)
        return esp_fail(err, -EIO, w->path, "cannot be written: %s", strerror(errno));
    return 0;
}

int pcap_commit(struct pcap_writer *w, struct esp_error *err)
{
    bool closed = fclose(w->f) == 0;
    int ret = 0;

    w->f = NULL;
    if (!closed || (w->temporary && rename(w->temporary, w->path) != 0)) {
        ret = esp_fail(err, -EIO, w->path, "cannot be written: %s", strerror(errno));
    } else if (w->temporary) {
        wb_temporary_done(w->temporary);
        w->temporary[0] = 0;
    }
    pcap_abandon(w);
    return ret;
}

void pcap_abandon(struct pcap_writer *w)
{
    if (!w)
        return;
    if (w->f)
        fclose(w->f);
    if (w->temporary && w->temporary[0])
        unlink(w->temporary);
    wb_temporary_done(w->temporary);
    free(w->temporary);
    free(w->path);
    free(w);
}

static int find_in_ethernet(const uint8_t *data, size_t len, int *type_at)
{
    size_t at = 12;

    for (; at + 2 <= len; at += 4) {
        unsigned type = (unsigned)data[at] << 8 | data[at + 1];
        if (type == 0x8100 || type == 0x88a8 || type == 0x9100)
            continue;
        if (type != 0x0800 && type != 0x86dd)
            return -1;
        *type_at = (int)at;
        return (int)at + 2;
    }
    return -1;
}

int pcap_find_ip(enum pcap_link link, const uint8_t *data, size_t len, int *type_at)
{
    int at = 0;
    unsigned version;

    *type_at = -1;
    if (link == PCAP_LINK_ETHERNET)
        at = find_in_ethernet(data, len, type_at);
    if (at < 0 || (size_t)at >= len)
        return -1;
    version = data[at] >> 4;
    if (*type_at >= 0) // the EtherType says which; a version that contradicts it is the engine's to refuse
        return at;
    if ((version != 4 && version != 6) || (link == PCAP_LINK_IPV4 && version != 4) ||
        (link == PCAP_LINK_IPV6 && version != 6))
        return -1;
    return at;
}
