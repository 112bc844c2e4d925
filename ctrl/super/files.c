// SPDX-License-Identifier: Apache-2.0
// Landlock, by its system calls, which no library has. What a kernel does not know is left out (its ABI says
// what there is). Folders of /proc are not named but /proc itself: the kernel makes those anew when it is
// short of memory, and a rule stays with the one that it was made of.
#include "ctrl/super/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <openssl/crypto.h>

// Of later kernels than the headers of Debian 12.
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif
#define TCP_BIND      (1ULL << 0)
#define TCP_CONNECT   (1ULL << 1)
#define ABSTRACT_UNIX (1ULL << 0)
#define SIGNALS       (1ULL << 1)
struct ruleset { // struct landlock_ruleset_attr, as it is since ABI 6
    uint64_t fs, net, scoped;
};
enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NET = 4, ABI_IOCTL = 5, ABI_SCOPES = 6 };

#define IN(room) (1u << ROOM_##room)
#define READ     LANDLOCK_ACCESS_FS_READ_FILE
#define LIST     (READ | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE    (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define OWN      (LIST | WRITE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define DEVICE   (WRITE | LANDLOCK_ACCESS_FS_IOCTL_DEV)
#define OF_FILES                                                                                             \
    (LANDLOCK_ACCESS_FS_EXECUTE | READ | WRITE |                                                             \
     LANDLOCK_ACCESS_FS_IOCTL_DEV) // what a rule of a file may have
enum { ALL = IN(CTL) | IN(IKE) | IN(KEYS) | IN(PATH) | IN(FETCH) | IN(METRICS) | IN(FLEET) };

// What OpenSSL, libcurl, the resolver and libpci read is beside our own here.
static const struct {
    const char *path;
    unsigned rooms;
    uint64_t may;
} given[] = {
    {"/usr", ALL, LIST}, // libraries that are loaded when they are needed, and time zones
    {"/lib", ALL, LIST},
    {"/lib64", ALL, LIST},
    {"/etc/ssl", ALL, LIST},
    {"/etc/ld.so.cache", ALL, READ},
    {"/etc/localtime", ALL, READ},
    {"/dev/null", ALL, WRITE},
    {"/dev/random", ALL, READ},
    {"/dev/urandom", ALL, READ},
    {"/sys/devices/system/cpu", ALL, LIST},
    // certificates, by the paths that the client names; it looks into no folder
    {"/", IN(CTL), READ},
    // the kernel's switches (the kernel asks for CAP_NET_ADMIN for those of the network, for others for
    // root), and cards
    {"/proc", IN(PATH), LIST | WRITE},
    {"/sys", IN(PATH), LIST | WRITE},
    {"/dev/vfio", IN(PATH), LIST | DEVICE},
    {"/dev/net/tun", IN(PATH), DEVICE}, // a TUN of a connection's own
    // names of servers: what /etc/resolv.conf is a link to is there
    {"/etc", IN(FETCH) | IN(FLEET), LIST},
    {"/run", IN(FETCH) | IN(FLEET), LIST},
    {"/proc", IN(METRICS), LIST},
};

static uint64_t fs_of(int abi)
{
    uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    all |= abi >= ABI_REFER ? LANDLOCK_ACCESS_FS_REFER : 0;
    all |= abi >= ABI_TRUNCATE ? LANDLOCK_ACCESS_FS_TRUNCATE : 0;
    return all | (abi >= ABI_IOCTL ? LANDLOCK_ACCESS_FS_IOCTL_DEV : 0);
}

// fetch speaks TCP to whom its URLs name, fleet to etcd; nobody else to anybody, nor waits for anybody.
static int make(enum room room, int abi)
{
    struct ruleset r = {.fs = fs_of(abi)};
    size_t size = offsetof(struct ruleset, net);
    if (abi >= ABI_NET) {
        r.net = room == ROOM_FETCH || room == ROOM_FLEET ? TCP_BIND : TCP_BIND | TCP_CONNECT;
        size = offsetof(struct ruleset, scoped);
    }
    if (abi >= ABI_SCOPES) {
        r.scoped = ABSTRACT_UNIX | SIGNALS;
        size = sizeof(r);
    }
    int fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
    return fd < 0 ? -errno : fd;
}

// What is not there cannot be opened either.
static int allow(int ruleset, int abi, const char *path, uint64_t may)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC), rc = 0;
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
    if (fstat(fd, &st) < 0) {
        rc = -errno;
    } else {
        uint64_t of = S_ISDIR(st.st_mode) ? fs_of(abi) : OF_FILES & fs_of(abi);
        struct landlock_path_beneath_attr rule = {.allowed_access = may & of, .parent_fd = fd};
        rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
    }
    close(fd);
    return rc;
}

static int allow_parent(int ruleset, int abi, const char *path, uint64_t may)
{
    char copy[sizeof(((struct settings *)0)->pool_leases)];
    snprintf(copy, sizeof(copy), "%s", path);
    return allow(ruleset, abi, dirname(copy), may);
}

// Cards of another place than the kernel's: that may come later, or be made anew, so what is there of its
// way.
static int allow_cards(int ruleset, int abi, const char *path)
{
    char copy[sizeof(((struct settings *)0)->pci_sysfs)];
    snprintf(copy, sizeof(copy), "%s", path);
    const char *at = dirname(copy);
    while (access(at, F_OK) < 0 && strlen(at) > 1)
        at = dirname(copy);
    return allow(ruleset, abi, at, LIST | WRITE);
}

// Its settings and providers are read when they are first asked for, from where it was built for or where the
// environment says; without them it would go on by other rules than the operator's.
static int allow_openssl(int ruleset, int abi)
{
    const char *conf = getenv("OPENSSL_CONF"), *modules = getenv("OPENSSL_MODULES");
    int rc = allow(ruleset, abi, conf && *conf ? conf : OPENSSL_info(OPENSSL_INFO_CONFIG_DIR), LIST);
    if (rc < 0)
        return rc;
    return allow(ruleset, abi, modules && *modules ? modules : OPENSSL_info(OPENSSL_INFO_MODULES_DIR), LIST);
}

static int allow_configured(int ruleset, int abi, enum room room, const struct settings *s)
{
    int rc = 0;
    if (room == ROOM_CTL)
        rc = allow(ruleset, abi, s->run_dir, OWN);
    if (rc == 0 && room == ROOM_CTL && s->pool_leases[0])
        rc = allow_parent(ruleset, abi, s->pool_leases, OWN);
    if (rc == 0 && room == ROOM_PATH && strncmp(s->pci_sysfs, "/sys/", strlen("/sys/")) != 0)
        rc = allow_cards(ruleset, abi, s->pci_sysfs);
    if (rc == 0 && (room == ROOM_PATH || room == ROOM_IKE) && s->debug_keys[0])
        rc = allow(ruleset, abi, s->debug_keys, OWN);
    return rc;
}

static int fill(int ruleset, int abi, enum room room, const struct settings *s)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]) && rc == 0; i++)
        if (given[i].rooms & 1u << room)
            rc = allow(ruleset, abi, given[i].path, given[i].may);
    if (rc == 0)
        rc = allow_openssl(ruleset, abi);
    return rc ? rc : allow_configured(ruleset, abi, room, s);
}

int files_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

int files_limit(enum room room, const struct settings *s)
{
    int abi = files_abi();
    if (!abi)
        return 0;
    int ruleset = make(room, abi);
    if (ruleset < 0)
        return ruleset;
    int rc = fill(ruleset, abi, room, s);
    if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        rc = -errno;
    close(ruleset);
    return rc;
}
