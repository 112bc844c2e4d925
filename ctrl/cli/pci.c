// SPDX-License-Identifier: Apache-2.0
#include "ctrl/cli/pci.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "espalier/card_id.h"
#include "espalier/pci_scan.h"

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
    sysfs = sysfs ? sysfs : "/sys/bus/pci";
    snprintf(path, sizeof(path), "%.280s/devices", sysfs);
    if (access(path, R_OK | X_OK) < 0)
        return esp_fail(err, -errno, "--pci-sysfs", "%.150s: %s", path, strerror(errno));
    struct found f = {.cards = cards};
    int rc = pci_scan(sysfs, add, &f, err);
    for (int i = 0; i < f.count; i++)
        describe(&cards[i], sysfs);
    return rc ? rc : f.count;
}
