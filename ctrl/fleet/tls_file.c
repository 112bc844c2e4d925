// SPDX-License-Identifier: Apache-2.0
#include "ctrl/fleet/tls_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 3, HEAD = 4 };

static int read_all(int fd, uint8_t *to, size_t len)
{
    for (size_t n = 0; n < len;) {
        ssize_t r = pread(fd, to + n, len - n, (off_t)n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? -errno : -EIO;
        n += (size_t)r;
    }
    return 0;
}

static int append(struct tls_files *t, const uint8_t *p, size_t len)
{
    uint8_t *more = malloc(t->len + HEAD + len);
    if (!more)
        return -ENOMEM;
    struct writer w = writer_of(more, t->len + HEAD + len);
    if (t->len)
        wr_bytes(&w, t->all, t->len);
    wr_u32(&w, (uint32_t)len);
    if (len)
        wr_bytes(&w, p, len);
    tls_files_free(t);
    t->all = more;
    t->len = w.len;
    return 0;
}

static int append_file(struct tls_files *t, const char *key, const char *path, struct esp_error *err)
{
    struct stat st = {0};
    if (!path[0])
        return append(t, NULL, 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
    uint8_t *p = NULL;
    if (!rc && (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > TLS_FILE_MOST))
        rc = -EFBIG;
    if (!rc && !(p = malloc((size_t)st.st_size)))
        rc = -ENOMEM;
    if (!rc)
        rc = read_all(fd, p, (size_t)st.st_size);
    if (!rc)
        rc = append(t, p, (size_t)st.st_size);
    if (p)
        explicit_bzero(p, (size_t)st.st_size);
    free(p);
    if (fd >= 0)
        close(fd);
    return rc ? esp_fail(err, rc, key, "%.120s: %s", path,
                         rc == -EFBIG ? "expected a file with PEM, of 256 KiB at most" : strerror(-rc))
              : 0;
}

static int parse(struct tls_files *t)
{
    struct reader r = reader_of(slice_of(t->all, t->len));
    struct slice *parts[FILES] = {&t->ca, &t->cert, &t->key};
    for (int i = 0; i < FILES; i++)
        *parts[i] = rd_bytes(&r, rd_u32(&r));
    return rd_done(&r) ? 0 : -EBADMSG;
}

int tls_files_read(struct tls_files *t, const struct settings *s, struct esp_error *err)
{
    *t = (struct tls_files){0};
    int rc = append_file(t, "fleet.cacert", s->fleet_cacert, err);
    if (!rc)
        rc = append_file(t, "fleet.cert", s->fleet_cert, err);
    if (!rc)
        rc = append_file(t, "fleet.key", s->fleet_key, err);
    if (!rc && (rc = parse(t)) < 0)
        esp_fail(err, rc, "fleet", "no memory");
    if (rc)
        tls_files_free(t);
    return rc;
}

void tls_files_free(struct tls_files *t)
{
    if (t->all)
        explicit_bzero(t->all, t->len);
    free(t->all);
    *t = (struct tls_files){0};
}

int tls_files_put(const struct tls_files *t)
{
    int fd = memfd_create("fleet-tls", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc = 0;
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, t->all, t->len);
    if (n < 0 || (size_t)n != t->len)
        rc = n < 0 ? -errno : -EIO;
    if (!rc && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        rc = -errno;
    if (rc)
        close(fd);
    return rc ? rc : fd;
}

int tls_files_take(struct tls_files *t, int fd)
{
    struct stat st;
    *t = (struct tls_files){0};
    if (fstat(fd, &st) < 0)
        return -errno;
    t->len = (size_t)st.st_size;
    t->all = malloc(t->len ? t->len : 1);
    int rc = t->all ? read_all(fd, t->all, t->len) : -ENOMEM;
    if (!rc)
        rc = parse(t);
    if (rc)
        tls_files_free(t);
    return rc;
}
