// SPDX-License-Identifier: Apache-2.0
// Makes and removes DIR's entries. Sockets are bound and reached through /proc/self/fd, because a socket
// address holds 107 characters and a DIR may be longer. Only names that this file makes are ever removed.
#include "sim/card/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOCK_FILE  "espalier-card.lock"
#define NEW_DEVICE ".new-" CARD_TREE_SLOT
#define DEVICE     "devices/" CARD_TREE_SLOT

static const char *const device_files[] = {
    "config",           "resource", "irq",      "vendor",    "device",   "subsystem_vendor",
    "subsystem_device", "class",    "revision", "numa_node", "modalias", CARD_TREE_SOCKET,
};

enum { MADE_LOCK = 1, MADE_DEVICE = 2, MADE_CONTROL = 4 };

// Keeps the first reason and the path it is about.
__attribute__((format(printf, 3, 4))) static int fail(struct card_tree *t, int err, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(t->error, sizeof t->error, format, ap);
    va_end(ap);
    size_t n = strlen(t->error);
    if (err)
        snprintf(t->error + n, sizeof t->error - n, ": %s", strerror(err));
    return -(err ? err : EBUSY);
}

// ---------------------------------------------------------------------------------------------------------
// lock

static int remove_parts(struct card_tree *t)
{
    int fd = openat(t->dirfd, NEW_DEVICE, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : fail(t, errno, "%s/" NEW_DEVICE, t->dir);
    for (size_t i = 0; i < sizeof device_files / sizeof *device_files; i++)
        unlinkat(fd, device_files[i], 0);
    close(fd);
    if (unlinkat(t->dirfd, NEW_DEVICE, AT_REMOVEDIR) < 0)
        return fail(t, errno, "%s/" NEW_DEVICE " holds something that is not this program's", t->dir);
    return 0;
}

// The device goes in one rename, so that no scan ever sees half of it.
static int remove_device(struct card_tree *t)
{
    int rc = remove_parts(t);
    if (rc)
        return rc;
    if (renameat(t->dirfd, DEVICE, t->dirfd, NEW_DEVICE) < 0)
        return errno == ENOENT ? 0 : fail(t, errno, "%s/" DEVICE, t->dir);
    return remove_parts(t);
}

static int busy(struct card_tree *t, int fd)
{
    char pid[32] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = 0;
    pid[strcspn(pid, "\n")] = 0;
    return fail(t, 0, "%s is in use by another espalier-card (process %s)", t->dir, pid[0] ? pid : "unknown");
}

// The holder removes the file on exit, so the one that was locked must still be the one in the directory.
static int take_lock(struct card_tree *t)
{
    for (int attempt = 0; attempt < 10; attempt++) {
        struct stat held, named;
        int fd = openat(t->dirfd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            return fail(t, errno, "%s/" LOCK_FILE, t->dir);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            int rc = errno == EWOULDBLOCK ? busy(t, fd) : fail(t, errno, "%s/" LOCK_FILE, t->dir);
            close(fd);
            return rc;
        }
        if (fstat(fd, &held) == 0 && fstatat(t->dirfd, LOCK_FILE, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            held.st_ino == named.st_ino) {
            t->lockfd = fd;
            t->made |= MADE_LOCK;
            if (ftruncate(fd, 0) < 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0)
                return fail(t, errno, "%s/" LOCK_FILE, t->dir);
            return 0;
        }
        close(fd);
    }
    return fail(t, EAGAIN, "%s/" LOCK_FILE, t->dir);
}

int card_tree_lock(struct card_tree *t, const char *dir)
{
    *t = (struct card_tree){
        .dir = dir, .dirfd = -1, .lockfd = -1, .configfd = -1, .listenfd = -1, .controlfd = -1};
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return fail(t, errno, "%s", dir);
    t->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->dirfd < 0)
        return fail(t, errno, "%s", dir);
    int rc = take_lock(t);
    if (rc == 0)
        rc = remove_device(t);
    if (rc == 0)
        unlinkat(t->dirfd, CARD_TREE_CONTROL, 0);
    return rc;
}

// ------------------------------------------------------------------------------------------------------
// entries

__attribute__((format(printf, 4, 5))) static int put_file(struct card_tree *t, int at, const char *name,
                                                          const char *format, ...)
{
    va_list ap;
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0)
        return fail(t, errno, "%s/" DEVICE "/%s", t->dir, name);
    va_start(ap, format);
    int n = vdprintf(fd, format, ap);
    va_end(ap);
    close(fd);
    return n < 0 ? fail(t, EIO, "%s/" DEVICE "/%s", t->dir, name) : 0;
}

static int proc_address(struct sockaddr_un *sa, int dirfd, const char *name)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(sa->sun_path, sizeof sa->sun_path, "/proc/self/fd/%d/%s", dirfd, name);
    return n > 0 && (size_t)n < sizeof sa->sun_path ? 0 : -ENAMETOOLONG;
}

static int listen_at(struct card_tree *t, int dirfd, const char *name, int *out)
{
    struct sockaddr_un sa;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(t, errno, "socket");
    if (proc_address(&sa, dirfd, name) || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 ||
        listen(fd, 8) < 0) {
        int rc = fail(t, errno, "%s/%s", t->dir, name);
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

// One line per BAR: first and last address, and the kernel's flags for 64-bit memory.
static int put_resource(struct card_tree *t, int at)
{
    const unsigned long long first = CARD_PCI_BAR0_ADDRESS, last = first + CARD_PCI_BAR0_SIZE - 1;
    static const char none[] = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
    return put_file(t, at, "resource", "0x%016llx 0x%016llx 0x%016x\n%s%s%s%s%s%s", first, last, 0x140204,
                    none, none, none, none, none, none);
}

static int put_attributes(struct card_tree *t, int at)
{
    int rc = put_resource(t, at);
    rc = rc ? rc : put_file(t, at, "vendor", "0x%04x\n", CARD_PCI_VENDOR);
    rc = rc ? rc : put_file(t, at, "device", "0x%04x\n", CARD_PCI_DEVICE);
    rc = rc ? rc : put_file(t, at, "subsystem_vendor", "0x%04x\n", CARD_PCI_SUBSYSTEM_VENDOR);
    rc = rc ? rc : put_file(t, at, "subsystem_device", "0x%04x\n", CARD_PCI_SUBSYSTEM_DEVICE);
    rc = rc ? rc : put_file(t, at, "class", "0x%06x\n", CARD_PCI_CLASS);
    rc = rc ? rc : put_file(t, at, "revision", "0x%02x\n", CARD_PCI_REVISION);
    rc = rc ? rc : put_file(t, at, "irq", "0\n");
    rc = rc ? rc : put_file(t, at, "numa_node", "-1\n");
    return rc ? rc
              : put_file(t, at, "modalias", "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n", CARD_PCI_VENDOR,
                         CARD_PCI_DEVICE, CARD_PCI_SUBSYSTEM_VENDOR, CARD_PCI_SUBSYSTEM_DEVICE,
                         CARD_PCI_CLASS >> 16, CARD_PCI_CLASS >> 8 & 0xff, CARD_PCI_CLASS & 0xff);
}

void card_tree_update_config(struct card_tree *t, const uint8_t config[CARD_PCI_CONFIG_SIZE])
{
    if (t->configfd >= 0 && pwrite(t->configfd, config, CARD_PCI_CONFIG_SIZE, 0) != CARD_PCI_CONFIG_SIZE)
        fprintf(stderr, "espalier-card: %s/" DEVICE "/config: %s\n", t->dir, strerror(errno));
}

static int fill_device(struct card_tree *t, int at, const uint8_t config[CARD_PCI_CONFIG_SIZE])
{
    t->configfd = openat(at, "config", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (t->configfd < 0)
        return fail(t, errno, "%s/" DEVICE "/config", t->dir);
    card_tree_update_config(t, config);
    int rc = put_attributes(t, at);
    return rc ? rc : listen_at(t, at, CARD_TREE_SOCKET, &t->listenfd);
}

int card_tree_publish(struct card_tree *t, const uint8_t config[CARD_PCI_CONFIG_SIZE])
{
    int rc = listen_at(t, t->dirfd, CARD_TREE_CONTROL, &t->controlfd);
    if (rc)
        return rc;
    t->made |= MADE_CONTROL;
    if (mkdirat(t->dirfd, "devices", 0755) < 0 && errno != EEXIST)
        return fail(t, errno, "%s/devices", t->dir);
    if (mkdirat(t->dirfd, NEW_DEVICE, 0755) < 0)
        return fail(t, errno, "%s/" NEW_DEVICE, t->dir);
    t->made |= MADE_DEVICE;
    int at = openat(t->dirfd, NEW_DEVICE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return fail(t, errno, "%s/" NEW_DEVICE, t->dir);
    rc = fill_device(t, at, config);
    close(at);
    if (rc == 0 && renameat(t->dirfd, NEW_DEVICE, t->dirfd, DEVICE) < 0)
        rc = fail(t, errno, "%s/" DEVICE, t->dir);
    return rc;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void card_tree_close(struct card_tree *t)
{
    close_fd(&t->listenfd);
    close_fd(&t->controlfd);
    close_fd(&t->configfd);
    if (t->made & MADE_DEVICE) {
        if (remove_device(t))
            fprintf(stderr, "espalier-card: %s\n", t->error);
        unlinkat(t->dirfd, "devices", AT_REMOVEDIR); // stays where others have entries in it
    }
    if (t->made & MADE_CONTROL)
        unlinkat(t->dirfd, CARD_TREE_CONTROL, 0);
    if (t->made & MADE_LOCK)
        unlinkat(t->dirfd, LOCK_FILE, 0);
    t->made = 0;
    close_fd(&t->lockfd);
    close_fd(&t->dirfd);
}

int card_tree_connect_control(const char *dir)
{
    struct sockaddr_un sa;
    int rc = -1, err;
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -errno;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && proc_address(&sa, at, CARD_TREE_CONTROL) == 0)
        rc = connect(fd, (struct sockaddr *)&sa, sizeof sa);
    err = errno;
    close(at);
    if (rc == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -err;
}
