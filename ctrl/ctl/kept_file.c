// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ctl/kept_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/lib/conn.h"

bool kept_write(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

int kept_replace(const char *path, bool (*all)(const void *ctx, int fd), const void *ctx)
{
    char fresh[320];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && all(ctx, fd) && fsync(fd) == 0 && rename(fresh, path) == 0)
        return fd;
    int why = errno;
    if (fd >= 0)
        close(fd);
    unlink(fresh); // it takes the room that there is none of
    errno = why;
    return -1;
}

size_t kept_print_name(char *buf, size_t size, const char *name)
{
    size_t n = 0;
    buf[0] = 0;
    for (; *name && n + 4 < size; name++)
        n += (size_t)snprintf(buf + n, size - n,
                              isalnum((unsigned char)*name) || strchr("._-", *name) ? "%c" : "%%%02x",
                              (unsigned char)*name);
    return n;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool kept_octet(const char *hex, uint8_t *out)
{
    int hi = digit(hex[0]), lo = hi < 0 ? -1 : digit(hex[1]);
    if (lo < 0)
        return false;
    *out = (uint8_t)(hi << 4 | lo);
    return true;
}

int kept_read_name(const char *text, char *name)
{
    int n = 0;
    for (; *text; n++) {
        uint8_t c = (uint8_t)*text;
        if (n + 1 == NAME_MAX_LEN || (*text == '%' && (!kept_octet(text + 1, &c) || !c)))
            return -1;
        name[n] = (char)c;
        text += *text == '%' ? 3 : 1;
    }
    name[n] = 0;
    return n;
}
