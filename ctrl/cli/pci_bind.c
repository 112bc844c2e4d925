// SPDX-License-Identifier: Apache-2.0
// A card's way to vfio-pci and back, by driver_override, so that no other device of its kind is touched. What
// would not work is refused before anything is changed, and what fails half-way is taken back.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/cli/pci.h"

enum { PATH = 400 };
static const char vfio[] = "vfio-pci";

static const char *root(const char *sysfs)
{
    return sysfs ? sysfs : "/sys/bus/pci";
}

static void driver_now(const struct pci_card *card, const char *sysfs, char driver[64])
{
    struct pci_card now;
    driver[0] = 0;
    if (pci_card_of(&now, card->name, sysfs, NULL) == 0)
        memcpy(driver, now.driver, sizeof(now.driver));
}

// What the operator has written there himself, or "". Of none the kernel says "(null)".
static void preferred(const struct pci_card *card, const char *sysfs, char driver[64])
{
    pci_attribute(card, sysfs, "driver_override", driver, 64);
    if (strcmp(driver, "(null)") == 0)
        driver[0] = 0;
}

static int prefer(const struct pci_card *card, const char *sysfs, const char *driver)
{
    char path[PATH];
    snprintf(path, sizeof(path), "%.200s/devices/%s/driver_override", root(sysfs), card->name);
    return pci_write(path, driver[0] ? driver : "\n"); // an empty line: whoever wants it
}

static int let_go(const struct pci_card *card, const char *sysfs, const char *driver)
{
    char path[PATH];
    snprintf(path, sizeof(path), "%.200s/drivers/%s/unbind", root(sysfs), driver);
    return driver[0] ? pci_write(path, card->name) : 0;
}

static int probe(const struct pci_card *card, const char *sysfs)
{
    char path[PATH];
    snprintf(path, sizeof(path), "%.200s/drivers_probe", root(sysfs));
    return pci_write(path, card->name);
}

// The kernel says to a probe that fails nothing but that it was asked for.
static int move(const struct pci_card *card, const char *sysfs, const char *from, const char *to)
{
    int rc = prefer(card, sysfs, to);
    rc = rc ? rc : let_go(card, sysfs, from);
    return rc ? rc : probe(card, sysfs);
}

static int may_bind(const struct pci_card *card, const char *sysfs, bool force, struct esp_error *err)
{
    char what[120], path[PATH];
    snprintf(path, sizeof(path), "%.200s/drivers/%s", root(sysfs), vfio);
    if (card->simulated)
        return esp_fail(err, -EINVAL, card->name,
                        "a simulated card is bound to nothing: it can be used as it is");
    if (card->group < 0)
        return esp_fail(err, -ENOTSUP, card->name,
                        "it is in no IOMMU group: switch the IOMMU on in the firmware, and on the kernel's "
                        "command line (intel_iommu=on)");
    if (pci_in_the_way(card, sysfs, what, sizeof(what)))
        return esp_fail(err, -EBUSY, card->name,
                        "IOMMU group %d is not viable: the kernel works with %s of it, too; unbind that or "
                        "bind it to vfio-pci, or put the card into another slot",
                        card->group, what);
    if (!force && pci_network_use(card, sysfs, what, sizeof(what)))
        return esp_fail(err, -EBUSY, card->name, "it is in use: %s; --force takes it all the same", what);
    if (access(path, F_OK) < 0)
        return esp_fail(err, -ENOENT, card->name, "the kernel has no driver vfio-pci: modprobe vfio-pci");
    return 0;
}

// To the driver that had it, and with what was preferred before, whichever driver that is. now: who has it.
static void move_back(const struct pci_card *card, const char *sysfs, const char *was, char now[64])
{
    driver_now(card, sysfs, now);
    if (card->driver[0] && strcmp(now, card->driver) != 0) {
        (void)prefer(card, sysfs, card->driver);
        (void)probe(card, sysfs);
        driver_now(card, sysfs, now);
    }
    (void)prefer(card, sysfs, was);
}

int pci_bind(const struct pci_card *card, const char *sysfs, bool force, struct esp_error *err)
{
    char now[64], was[64];
    if (strcmp(card->driver, vfio) == 0)
        return 1;
    int rc = may_bind(card, sysfs, force, err);
    if (rc)
        return rc;
    preferred(card, sysfs, was);
    rc = move(card, sysfs, card->driver, vfio);
    driver_now(card, sysfs, now);
    if (rc == 0 && strcmp(now, vfio) == 0)
        return 0;
    move_back(card, sysfs, was, now);
    if (rc)
        return esp_fail(err, rc, card->name, "it cannot be bound to vfio-pci: %s; it is bound to %s",
                        strerror(-rc), now[0] ? now : "no driver");
    return esp_fail(err, -EIO, card->name, "vfio-pci does not take it (dmesg says why); it is bound to %s",
                    now[0] ? now : "no driver");
}

// The kernel would wait for who has it, for as long as he has it.
int pci_unbind(const struct pci_card *card, const char *sysfs, struct esp_error *err)
{
    char who[64], now[64], was[64];
    if (card->simulated)
        return esp_fail(err, -EINVAL, card->name, "a simulated card is bound to nothing");
    if (strcmp(card->driver, vfio) != 0)
        return esp_fail(err, -EINVAL, card->name, "it is bound to %s, not to vfio-pci",
                        card->driver[0] ? card->driver : "no driver");
    if (pci_holder(card, who, sizeof(who)))
        return esp_fail(err, -EBUSY, card->name, "%s has it, and has to let go of it first", who);
    preferred(card, sysfs, was);
    int rc = move(card, sysfs, vfio, "");
    driver_now(card, sysfs, now);
    if (strcmp(now, vfio) == 0)
        (void)prefer(card, sysfs, was);
    if (rc)
        return esp_fail(err, rc, card->name, "it cannot be taken from vfio-pci: %s", strerror(-rc));
    return strcmp(now, vfio) == 0 ? esp_fail(err, -EIO, card->name, "the kernel has left it with vfio-pci")
                                  : 0;
}
