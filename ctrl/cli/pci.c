// SPDX-License-Identifier: Apache-2.0
#include "ctrl/cli/pci.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "espalier/card_id.h"
#include "espalier/pci_scan.h"

#define PCI_SYSFS "/sys/bus/pci"

// The last part of where a link leads to, "" where there is none.
static void read_link(const char *dir, const char *name, char *to, size_t size)
{
    char path[400], target[400];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    to[0] = 0;
    if (n <= 0)
        return;
    target[n] = 0;
    const char *slash = strrchr(target, '/');
    snprintf(to, size, "%.31s", slash ? slash + 1 : target);
}

static void describe(struct pci_card *c, const char *sysfs)
{
    char dir[300], path[400], group[32];
    snprintf(dir, sizeof(dir), "%.200s/devices/%s", sysfs, c->name);
    read_link(dir, "driver", c->driver, sizeof(c->driver));
    read_link(dir, "iommu_group", group, sizeof(group));
    c->group = group[0] ? atoi(group) : -1;
    snprintf(path, sizeof(path), "%s/vfio-user.sock", dir);
    c->simulated = access(path, F_OK) == 0;
}

struct found {
    struct pci_card *cards;
    int count;
};

static bool add(void *ctx, const char *name, uint16_t vendor, uint16_t device)
{
    struct found *f = ctx;
    if (vendor == CARD_VENDOR && device == CARD_DEVICE)
        snprintf(f->cards[f->count++].name, sizeof(f->cards->name), "%s", name);
    return f->count < PCI_CARDS;
}

int pci_cards(struct pci_card *cards, const char *sysfs, struct esp_error *err)
{
    char path[300];
    sysfs = sysfs ? sysfs : PCI_SYSFS;
    snprintf(path, sizeof(path), "%.280s/devices", sysfs);
    if (access(path, R_OK | X_OK) < 0)
        return esp_fail(err, -errno, "--pci-sysfs", "%.150s: %s", path, strerror(errno));
    struct found f = {.cards = cards};
    int rc = pci_scan(sysfs, add, &f, err);
    for (int i = 0; i < f.count; i++)
        describe(&cards[i], sysfs);
    return rc ? rc : f.count;
}

int pci_card_of(struct pci_card *card, const char *address, const char *sysfs, struct esp_error *err)
{
    struct pci_card cards[PCI_CARDS];
    int n = pci_cards(cards, sysfs, err);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        *card = cards[i];
        if (address ? strcmp(cards[i].name, address) == 0 : n == 1)
            return 0;
    }
    char path[400];
    snprintf(path, sizeof(path), "%.200s/devices/%.100s", sysfs ? sysfs : PCI_SYSFS, address ? address : "");
    if (address && access(path, F_OK) == 0)
        return esp_fail(err, -EINVAL, address, "the device is no card of ours");
    if (address)
        return esp_fail(err, -ENODEV, address, "there is no such device");
    return n ? esp_fail(err, -EINVAL, "card", "there are %d cards: name one (espalier card list)", n)
             : esp_fail(err, -ENODEV, "card", "there is no card");
}

// ---- what it is used for

void pci_attribute(const struct pci_card *card, const char *sysfs, const char *name, char *to, size_t size)
{
    char path[400];
    snprintf(path, sizeof(path), "%.200s/devices/%s/%s", sysfs ? sysfs : PCI_SYSFS, card->name, name);
    FILE *f = fopen(path, "re");
    to[0] = 0;
    if (!f)
        return;
    if (fgets(to, (int)size, f))
        to[strcspn(to, "\n")] = 0;
    fclose(f);
}

static bool leads_to(int fds, const char *fd, const char *path)
{
    char target[64];
    ssize_t n = readlinkat(fds, fd, target, sizeof(target) - 1);
    return n > 0 && (size_t)n == strlen(path) && memcmp(target, path, (size_t)n) == 0;
}

static bool has_open(int proc, const char *pid, const char *path)
{
    char name[300];
    bool found = false;
    snprintf(name, sizeof(name), "%.200s/fd", pid);
    int fd = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; d && !found && (e = readdir(d));)
        found = leads_to(fd, e->d_name, path);
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return found;
}

// By what it calls itself, such as "espalierd: path", without its folder.
static void name_process(int proc, const char *pid, char *who, size_t size)
{
    char name[300], title[48] = "";
    snprintf(name, sizeof(name), "%.200s/cmdline", pid);
    int fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, title, sizeof(title) - 1) : -1;
    title[n > 0 ? n : 0] = 0; // its arguments stand behind a zero
    if (fd >= 0)
        close(fd);
    const char *slash = title[0] == '/' ? strrchr(title, '/') : NULL;
    snprintf(who, size, "%s (%.12s)", slash ? slash + 1 : title[0] ? title : "a process", pid);
}

static bool is_held(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EBUSY;
}

// A group is one process's; that of another namespace is not seen, and has it all the same.
bool pci_holder(const struct pci_card *card, char *who, size_t size)
{
    char path[40];
    bool found = false;
    snprintf(path, sizeof(path), "/dev/vfio/%d", card->group);
    if (card->group < 0 || !is_held(path))
        return false;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && !found && (e = readdir(proc));) {
        found = e->d_name[0] >= '1' && e->d_name[0] <= '9' && has_open(dirfd(proc), e->d_name, path);
        if (found)
            name_process(dirfd(proc), e->d_name, who, size);
    }
    if (proc)
        closedir(proc);
    if (!found)
        snprintf(who, size, "a process that is not seen from here");
    return true;
}

// Of what the kernel takes for granted beside VFIO: nothing, its own drivers, bridges, and stubs.
static bool leaves_it_alone(const char *driver)
{
    return !driver[0] || strncmp(driver, "vfio", 4) == 0 || strcmp(driver, "pci-stub") == 0 ||
           strcmp(driver, "pcieport") == 0;
}

bool pci_in_the_way(const struct pci_card *card, const char *sysfs, char *what, size_t size)
{
    char path[400], member[700], driver[64];
    bool found = false;
    snprintf(path, sizeof(path), "%.200s/devices/%s/iommu_group/devices", sysfs ? sysfs : PCI_SYSFS,
             card->name);
    DIR *d = opendir(path);
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, card->name) == 0)
            continue;
        snprintf(member, sizeof(member), "%s/%s", path, e->d_name);
        read_link(member, "driver", driver, sizeof(driver));
        found = !leaves_it_alone(driver);
        if (found)
            snprintf(what, size, "%.31s (%s)", e->d_name, driver);
    }
    if (d)
        closedir(d);
    return found;
}

static bool address_of(const char *iface, char *text, socklen_t size)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) < 0)
        return false;
    for (const struct ifaddrs *a = all; a && !found; a = a->ifa_next) {
        const void *sa = a->ifa_addr;
        if (!sa || strcmp(a->ifa_name, iface) != 0)
            continue;
        int family = a->ifa_addr->sa_family;
        const void *raw = family == AF_INET    ? (const void *)&((const struct sockaddr_in *)sa)->sin_addr
                          : family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr
                                               : NULL;
        found = raw && inet_ntop(family, raw, text, size);
    }
    freeifaddrs(all);
    return found;
}

bool pci_network_use(const struct pci_card *card, const char *sysfs, char *what, size_t size)
{
    char path[400], iface[700], master[64], address[INET6_ADDRSTRLEN];
    bool found = false;
    snprintf(path, sizeof(path), "%.200s/devices/%s/net", sysfs ? sysfs : PCI_SYSFS, card->name);
    DIR *d = opendir(path);
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(iface, sizeof(iface), "%s/%s", path, e->d_name);
        read_link(iface, "master", master, sizeof(master));
        found = master[0] || address_of(e->d_name, address, sizeof(address));
        if (found)
            snprintf(what, size, "%.31s %s %s", e->d_name, master[0] ? "is part of" : "has the address",
                     master[0] ? master : address);
    }
    if (d)
        closedir(d);
    return found;
}
