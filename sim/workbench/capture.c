// SPDX-License-Identifier: Apache-2.0
// Capture files. libpcap reads them; the first octets are looked at here as well, because the output keeps
// what libpcap does not tell (time unit, link type 12 or 101). Link types: Ethernet (1, with 802.1Q/802.1ad
// tags), raw IP (101, and 12 of some systems), IPv4 (228) and IPv6 (229); all others are refused by name.
#include "sim/workbench/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/workbench/util.h"

enum {
    MAGIC_US = 0xa1b2c3d4u,
    MAGIC_NS = 0xa1b23c4du,
    MAGIC_NG = 0x0a0d0d0au, // pcapng, the same in either byte order
    FILE_HEADER = 24,
    RECORD_HEADER = 16,
};

// The file as libpcap reads it: first the octets that were looked at, then the rest.
struct source {
    int fd;
    uint8_t head[FILE_HEADER];
    size_t head_len, head_at;
    uint64_t size, at; // size 0: unknown
};

struct capture_reader {
    struct source src;
    pcap_t *pcap;
    char path[256];
    bool classic, swapped, nanoseconds;
    uint32_t link_number; // as the file has it
    enum capture_link link;
    unsigned long record;
};

struct capture_writer {
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

static void file16(uint8_t *p, uint16_t v, bool swapped)
{
    if (swapped)
        v = __builtin_bswap16(v);
    memcpy(p, &v, 2);
}

// ---- reading
static ssize_t source_read(void *cookie, char *buf, size_t n)
{
    struct source *s = cookie;
    size_t left = s->head_len - s->head_at;
    ssize_t got;

    if (left > 0) {
        n = n < left ? n : left;
        memcpy(buf, s->head + s->head_at, n);
        s->head_at += n;
        return (ssize_t)n;
    }
    do
        got = read(s->fd, buf, n);
    while (got < 0 && errno == EINTR);
    s->at += got > 0 ? (uint64_t)got : 0;
    return got;
}

static int source_close(void *cookie)
{
    struct source *s = cookie;
    int ret = close(s->fd);

    s->fd = -1;
    return ret;
}

static int source_open(struct source *s, const char *path, struct esp_error *err)
{
    struct stat st;
    ssize_t got = 1;

    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return esp_fail(err, -errno, path, "cannot be opened: %s", strerror(errno));
    if (fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode))
        s->size = (uint64_t)st.st_size;
    while (s->head_len < FILE_HEADER && got != 0) {
        got = read(s->fd, s->head + s->head_len, FILE_HEADER - s->head_len);
        if (got < 0 && errno != EINTR)
            return esp_fail(err, errno == EISDIR ? -EISDIR : -EIO, path, "cannot be read: %s",
                            strerror(errno));
        s->head_len += got > 0 ? (size_t)got : 0;
    }
    s->at = s->head_len;
    return 0;
}

// A classic header's own time unit and link type; a file of another kind is left to libpcap.
static int read_classic_header(struct capture_reader *r, struct esp_error *err)
{
    uint32_t magic = host32(r->src.head, false), other = host32(r->src.head, true);
    bool plain = magic == MAGIC_US || magic == MAGIC_NS, turned = other == MAGIC_US || other == MAGIC_NS;
    uint32_t field;

    r->classic = r->src.head_len == FILE_HEADER && (plain || turned);
    if (!r->classic)
        return 0;
    r->nanoseconds = magic == MAGIC_NS || other == MAGIC_NS;
    field = host32(r->src.head + 20, turned);
    if (field & 0xfc000000u)
        return esp_fail(err, -EINVAL, r->path,
                        "keeps frame check sequences (link field 0x%08x), expected none", field);
    r->link_number = field & 0xffff;
    return 0;
}

static int check_link(struct capture_reader *r, struct esp_error *err)
{
    int link = pcap_datalink(r->pcap);
    const char *name = pcap_datalink_val_to_description(link);

    if (!r->classic)
        r->link_number = link == DLT_RAW ? 101 : (uint32_t)link;
    switch (link) {
    case DLT_EN10MB: r->link = CAPTURE_ETHERNET; return 0;
    case DLT_RAW: r->link = CAPTURE_RAW; return 0;
    case DLT_IPV4: r->link = CAPTURE_IPV4; return 0;
    case DLT_IPV6: r->link = CAPTURE_IPV6; return 0;
    default:
        return esp_fail(err, -EINVAL, r->path,
                        "has link type %u (%s), expected Ethernet (1) or raw IP (101, 12, 228, 229)",
                        r->link_number, name ? name : "unknown");
    }
}

static int open_pcap(struct capture_reader *r, struct esp_error *err)
{
    static const cookie_io_functions_t io = {.read = source_read, .close = source_close};
    char why[PCAP_ERRBUF_SIZE] = "out of memory";
    FILE *f = fopencookie(&r->src, "rb", io);

    if (!f)
        return esp_fail(err, -ENOMEM, r->path, "out of memory");
    if (r->src.head_len >= 4 && host32(r->src.head, false) == MAGIC_NG)
        r->nanoseconds = true; // it has a unit for each interface: the finest that libpcap gives
    r->pcap = pcap_fopen_offline_with_tstamp_precision(
        f, r->nanoseconds ? PCAP_TSTAMP_PRECISION_NANO : PCAP_TSTAMP_PRECISION_MICRO, why);
    if (!r->pcap) {
        fclose(f);
        return esp_fail(err, -EINVAL, r->path, "is no capture file: %.120s", why);
    }
    r->swapped = pcap_is_swapped(r->pcap) == 1;
    return check_link(r, err);
}

int capture_open(struct capture_reader **out, const char *path, struct esp_error *err)
{
    struct capture_reader *r = calloc(1, sizeof(*r));
    int ret;

    if (!r)
        return esp_fail(err, -ENOMEM, path, "out of memory");
    snprintf(r->path, sizeof(r->path), "%s", path);
    ret = source_open(&r->src, path, err);
    if (ret == 0)
        ret = read_classic_header(r, err);
    if (ret == 0)
        ret = open_pcap(r, err);
    if (ret != 0)
        capture_close(r);
    else
        *out = r;
    return ret;
}

enum capture_link capture_link(const struct capture_reader *r)
{
    return r->link;
}

int capture_next(struct capture_reader *r, struct capture_packet *p, struct esp_error *err)
{
    struct pcap_pkthdr *h;
    const u_char *data;
    int ret = pcap_next_ex(r->pcap, &h, &data);

    if (ret == PCAP_ERROR_BREAK)
        return 0;
    r->record++;
    if (ret != 1)
        return esp_fail(err, -EIO, r->path, "packet %lu: %.120s", r->record, pcap_geterr(r->pcap));
    p->sec = (uint32_t)h->ts.tv_sec;
    p->frac = (uint32_t)h->ts.tv_usec;
    p->len = h->caplen;
    p->wire_len = h->len;
    p->data = (uint8_t *)(uintptr_t)data; // libpcap's own buffer
    return 1;
}

int capture_permille(const struct capture_reader *r)
{
    if (r->src.size == 0)
        return -1;
    return r->src.at < r->src.size ? (int)(r->src.at * 1000 / r->src.size) : 1000;
}

void capture_close(struct capture_reader *r)
{
    if (!r)
        return;
    if (r->pcap)
        pcap_close(r->pcap); // closes the source too
    if (r->src.fd >= 0)
        close(r->src.fd);
    free(r);
}

// ---- writing
static void fill_header(uint8_t *header, const struct capture_reader *like)
{
    memcpy(header, like->src.head, FILE_HEADER);
    if (!like->classic) {
        memset(header, 0, FILE_HEADER);
        file32(header, like->nanoseconds ? MAGIC_NS : MAGIC_US, like->swapped);
        file16(header + 4, 2, like->swapped);
        file16(header + 6, 4, like->swapped);
    }
    file32(header + 16, CAPTURE_MAX_PACKET, like->swapped); // encapsulation may pass the input's snap length
    file32(header + 20, like->link_number, like->swapped);
}

int capture_create(struct capture_writer **out, const char *path, const struct capture_reader *like,
                   struct esp_error *err)
{
    struct capture_writer *w;
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
        capture_abandon(w);
        return ret;
    }
    w->swapped = like->swapped;
    fill_header(header, like);
    if (fwrite(header, 1, sizeof(header), w->f) != sizeof(header)) {
        ret = esp_fail(err, -EIO, path, "cannot be written: %s", strerror(errno));
        capture_abandon(w);
        return ret;
    }
    *out = w;
    return 0;
}

int capture_write(struct capture_writer *w, const struct capture_packet *p, struct esp_error *err)
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

int capture_commit(struct capture_writer *w, struct esp_error *err)
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
    capture_abandon(w);
    return ret;
}

void capture_abandon(struct capture_writer *w)
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

int capture_find_ip(enum capture_link link, const uint8_t *data, size_t len, int *type_at)
{
    int at = 0;
    unsigned version;

    *type_at = -1;
    if (link == CAPTURE_ETHERNET)
        at = find_in_ethernet(data, len, type_at);
    if (at < 0 || (size_t)at >= len)
        return -1;
    version = data[at] >> 4;
    if (*type_at >= 0) // the EtherType says which; a version that contradicts it is the engine's to refuse
        return at;
    if ((version != 4 && version != 6) || (link == CAPTURE_IPV4 && version != 4) ||
        (link == CAPTURE_IPV6 && version != 6))
        return -1;
    return at;
}
