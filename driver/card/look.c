// SPDX-License-Identifier: Apache-2.0
// What a card says of itself, and its reset, without a ring, an interrupt or an SA
// (hw/regs/gen/registers.md).
#include "espalier/card_look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver/card/card.h"

enum { READY_WAIT_MS = 5000 };
// Something to be gone after a reset; no driver writes it, whose EPOCH is never zero in its low octet.
#define EPOCH_OF_A_LOOK 0x5eed1200u

static const struct {
    uint32_t mask;
    const char *name;
} features[] = {
    {ESPC_FEATURES_OFFERED_AES128_GCM16_MASK, "aes128gcm16"},
    {ESPC_FEATURES_OFFERED_AES256_GCM16_MASK, "aes256gcm16"},
    {ESPC_FEATURES_OFFERED_TUNNEL_MASK, "tunnel"},
    {ESPC_FEATURES_OFFERED_TRANSPORT_MASK, "transport"},
    {ESPC_FEATURES_OFFERED_OUTER_IPV4_MASK, "outer-ipv4"},
    {ESPC_FEATURES_OFFERED_OUTER_IPV6_MASK, "outer-ipv6"},
    {ESPC_FEATURES_OFFERED_INNER_IPV4_MASK, "inner-ipv4"},
    {ESPC_FEATURES_OFFERED_INNER_IPV6_MASK, "inner-ipv6"},
    {ESPC_FEATURES_OFFERED_UDP_ENCAP_MASK, "udp-encap"},
    {ESPC_FEATURES_OFFERED_ESN_MASK, "esn"},
    {ESPC_FEATURES_OFFERED_REPLAY_MASK, "replay"},
    {ESPC_FEATURES_OFFERED_LOOKASIDE_MASK, "lookaside"},
    {ESPC_FEATURES_OFFERED_WIRE_MASK, "wire"},
    {ESPC_FEATURES_OFFERED_ENDPOINT_MASK, "endpoint"},
    {ESPC_FEATURES_OFFERED_GMAC_MASK, "gmac"},
    {ESPC_FEATURES_OFFERED_INTEGRITY_MASK, "integrity"},
    {ESPC_FEATURES_OFFERED_TFC_MASK, "tfc"},
    {ESPC_FEATURES_OFFERED_DEADLINE_MASK, "deadline"},
    {ESPC_FEATURES_OFFERED_VLAN_MASK, "vlan"},
};

static void name_features(struct esp_card_facts *f, uint32_t offered)
{
    size_t at = 0;

    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
        if (offered & features[i].mask && at < sizeof(f->features))
            at += (size_t)snprintf(f->features + at, sizeof(f->features) - at, "%s%s", at ? " " : "",
                                   features[i].name);
}

static int take(struct card **c, const char *pci_sysfs, const char *bdf, struct esp_error *err)
{
    int rc;

    *c = calloc(1, sizeof(**c));
    if (!*c)
        return esp_fail(err, -ENOMEM, "card", "out of memory");
    rc = bus_open(&(*c)->bus, pci_sysfs ? pci_sysfs : "/sys/bus/pci", bdf, CARD_VENDOR, CARD_DEVICE, err);
    if (!rc)
        (*c)->bus->timeout_ms = BUS_OPEN_TIMEOUT_MS;
    return rc;
}

static void let_go(struct card *c)
{
    if (c)
        bus_close(c->bus);
    free(c);
}

int esp_card_look(struct esp_card_facts *f, const char *pci_sysfs, const char *bdf, struct esp_error *err)
{
    struct card *c;
    int rc = take(&c, pci_sysfs, bdf, err);

    memset(f, 0, sizeof(*f));
    if (!rc)
        rc = card_identify(c, err);
    if (!rc) {
        snprintf(f->name, sizeof(f->name), "%s", c->bus->name);
        f->abi = bus_read32(c->bus, ESPC_REG_ABI);
        f->build = bus_read32(c->bus, ESPC_REG_BUILD_HASH);
        f->slots = c->slots_per_dir;
        f->queues = bus_read32(c->bus, ESPC_REG_QUEUES);
        f->max_len = c->max_len;
        f->clock_khz = c->clock_khz;
        f->lanes = bus_read32(c->bus, ESPC_REG_LANES);
        f->vectors = bus_read32(c->bus, ESPC_REG_VECTORS);
        f->status = bus_read32(c->bus, ESPC_REG_STATUS);
        f->ready = f->status & ESPC_STATUS_READY_MASK;
        f->fatal = f->status & ESPC_STATUS_FATAL_MASK;
        f->zeroized = f->status & ESPC_STATUS_ZEROIZED_MASK;
        name_features(f, bus_read32(c->bus, ESPC_REG_FEATURES_OFFERED));
        if (c->bus->gone)
            rc = esp_fail(err, -ENODEV, c->bus->name, "the card no longer answers");
    }
    let_go(c);
    return rc;
}

static int await_ready(struct card *c, struct esp_error *err)
{
    uint32_t status = 0;

    for (int ms = 0; ms < READY_WAIT_MS; ms++) {
        status = bus_read32(c->bus, ESPC_REG_STATUS);
        if (status == UINT32_MAX)
            return esp_fail(err, -ENODEV, c->bus->name, "the card does not answer after its reset");
        if (status & ESPC_STATUS_READY_MASK && !(status & ESPC_STATUS_FATAL_MASK))
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return esp_fail(err, -ETIMEDOUT, c->bus->name,
                    "the card is not ready within %d ms of its reset (STATUS 0x%x)", READY_WAIT_MS, status);
}

// A card that answers nothing any more can be reset all the same, so it is asked for nothing before.
int esp_card_function_reset(const char *pci_sysfs, const char *bdf, struct esp_error *err)
{
    struct card *c;
    int rc = take(&c, pci_sysfs, bdf, err);

    if (!rc) {
        bus_write32(c->bus, ESPC_REG_EPOCH, EPOCH_OF_A_LOOK);
        rc = c->bus->ops->reset(c->bus);
        rc = rc ? rc : bus_memory(c->bus);
        if (rc)
            esp_fail(err, rc, c->bus->name, "the card cannot be reset: %s", strerror(-rc));
    }
    if (!rc)
        rc = card_identify(c, err);
    if (!rc)
        rc = await_ready(c, err);
    if (!rc && bus_read32(c->bus, ESPC_REG_EPOCH) != 0)
        rc = esp_fail(err, -EIO, c->bus->name, "the reset was acknowledged, and the card was not reset");
    let_go(c);
    return rc;
}
