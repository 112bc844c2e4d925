// SPDX-License-Identifier: Apache-2.0
// The PCI function around the RTL model. DMA of the model goes to the client's memory only while bus
// mastering is enabled; the clock is simulated only while the model has work, and FREERUN follows wall time
// in between.
#include "sim/card/device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hw/regs/gen/espalier_card.h"

enum { RESET_CYCLES = 4000000, RESET_SLICE = 10000, STUCK_CYCLES = 256 };

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note(const char *text)
{
    fprintf(stderr, "espalier-card: %s\n", text);
}

// ------------------------------------------------------------------------------------------ the model's
// callbacks

static const enum card_spoil_kind spoil_kinds[] = {
#define X(id, name, spoil, dma, text) CARD_SPOIL_##spoil,
    CARD_FAULT_LIST(X)
#undef X
};

static const enum card_trouble_kind trouble_kinds[] = {
#define X(id, name, spoil, dma, text) CARD_TROUBLE_##dma,
    CARD_FAULT_LIST(X)
#undef X
};

static enum card_trouble_kind trouble(const struct card_device *d)
{
    return trouble_kinds[d->fault];
}

static int host_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
    struct card_device *d = ctx;
    return pci_config_bus_master(&d->pci) ? vfu_dma_read(&d->server.dma, addr, buf, len) : -EACCES;
}

static int host_write(struct card_device *d, uint64_t addr, const void *buf, size_t len)
{
    int rc = pci_config_bus_master(&d->pci) ? vfu_dma_write(&d->server.dma, addr, buf, len) : -EACCES;
    d->dma_errors += rc != 0;
    return rc;
}

static int on_dma_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
    struct card_device *d = ctx;
    if (trouble(d) == CARD_TROUBLE_STUCK) {
        d->stuck = true;
        return CARD_MODEL_LATER;
    }
    int rc = host_read(d, addr, buf, len);
    d->dma_errors += rc != 0;
    if (rc == 0)
        card_trouble_read(&d->trouble, trouble(d), addr, buf, len, host_read, d);
    return rc;
}

static int on_dma_write(void *ctx, uint64_t addr, const void *buf, size_t len)
{
    struct card_device *d = ctx;
    uint8_t said[CARD_MODEL_BURST];
    if (len > sizeof said)
        return -EINVAL;
    memcpy(said, buf, len);
    if (spoil_kinds[d->fault] != CARD_SPOIL_NONE)
        card_spoil_completions(&d->spoil, spoil_kinds[d->fault], addr, said, len);
    if (d->fault == CARD_FAULT_RING_ERROR && card_spoil_in_packet_ring(&d->spoil, addr)) {
        d->fault = CARD_FAULT_NONE; // once
        d->dma_errors++;
        return -EIO;
    }
    if (card_trouble_write(&d->trouble, trouble(d), now_ns(CLOCK_MONOTONIC), addr, said, &len))
        return 0;
    return host_write(d, addr, said, len);
}

static void raise_irq(struct card_device *d, unsigned vector)
{
    struct vfu_irq_index *x = &d->server.irq[VFU_IRQ_MSIX];
    if (pci_config_bus_master(&d->pci)) // an MSI is a memory write
        vfu_irq_raise(x, vector);
    else
        x->pending[vector] = true;
}

static void on_irq(void *ctx, unsigned vector)
{
    struct card_device *d = ctx;
    if (vector >= d->server.irq[VFU_IRQ_MSIX].count || d->fault == CARD_FAULT_DROP_IRQ)
        d->irqs_dropped++;
    else if (card_trouble_irq(&d->trouble, trouble(d), now_ns(CLOCK_MONOTONIC), vector))
        d->irqs_dropped += trouble(d) != CARD_TROUBLE_LATE && trouble(d) != CARD_TROUBLE_SLOW;
    else
        raise_irq(d, vector);
}

// What was held back and is due now.
static void tell_late(struct card_device *d)
{
    const struct card_held *h;
    while ((h = card_trouble_due(&d->trouble, now_ns(CLOCK_MONOTONIC))) != NULL) {
        if (h->len)
            host_write(d, h->addr, h->data, h->len);
        else
            raise_irq(d, h->vector);
    }
}

// ---------------------------------------------------------------------------------------------------- the
// clock

// It waits for the host's memory, which does not answer, and has done all else that it could: nothing but
// its clock goes on.
static bool stands(const struct card_device *d)
{
    return d->stuck && d->stuck_for >= STUCK_CYCLES;
}

static bool works(const struct card_device *d)
{
    return card_model_busy(d->model) && !stands(d);
}

// FREERUN catches up with the wall clock for the time in which the model stood still.
static void catch_up(struct card_device *d)
{
    if (d->fault == CARD_FAULT_HANG || works(d))
        return;
    uint64_t now = now_ns(CLOCK_MONOTONIC);
    uint64_t ns = now - d->idle_since;
    card_model_freerun_add(d->model, ns / 1000000u * d->clock_khz + ns % 1000000u * d->clock_khz / 1000000u);
    d->idle_since = now;
}

bool card_device_busy(const struct card_device *d)
{
    return d->fault != CARD_FAULT_HANG && d->fault != CARD_FAULT_DEAD && works(d);
}

int card_device_wait_ms(const struct card_device *d)
{
    return card_trouble_wait_ms(&d->trouble, now_ns(CLOCK_MONOTONIC));
}

static void run_model(struct card_device *d, uint64_t cycles)
{
    uint64_t before = now_ns(CLOCK_PROCESS_CPUTIME_ID), ran = card_model_step(d->model, cycles);
    d->run_cycles += ran;
    d->stuck_for += ran;
    d->cpu_ns += now_ns(CLOCK_PROCESS_CPUTIME_ID) - before;
    if (!works(d))
        d->idle_since = now_ns(CLOCK_MONOTONIC);
}

static uint64_t cycles_now(const struct card_device *d)
{
    struct card_model_stats stats;
    card_model_stats(d->model, &stats);
    return stats.cycles;
}

// Starts or stops the requested window of the wave at its cycle; returns how far the model may run before
// that.
static uint64_t wave_step(struct card_device *d, uint64_t cycles)
{
    struct card_wave *w = &d->wave;
    if (!w->wanted)
        return cycles;
    uint64_t now = cycles_now(d);
    if (!w->running && now >= w->from) {
        int rc = card_device_wave_start(d, w->file);
        if (rc)
            fprintf(stderr, "espalier-card: wave %s: %s\n", w->file, strerror(-rc));
        w->wanted = rc == 0;
    }
    if (w->running && w->to && now >= w->to) {
        card_device_wave_stop(d);
        w->wanted = false;
    }
    uint64_t next = !w->running ? w->from : w->to;
    return w->wanted && next > now && next - now < cycles ? next - now : cycles;
}

static void upset(struct card_device *d)
{
    bool busy = works(d);
    card_trouble_upset(&d->trouble, d->model);
    if (d->trouble.upset && card_model_csr_read32(d->model, ESPC_REG_STATUS) & ESPC_STATUS_FATAL_MASK)
        d->fault = CARD_FAULT_NONE; // until it is found
    if (busy && !works(d))
        d->idle_since = now_ns(CLOCK_MONOTONIC);
}

void card_device_run(struct card_device *d, uint64_t cycles)
{
    tell_late(d);
    if (d->fault == CARD_FAULT_FATAL)
        upset(d);
    else if (card_device_busy(d))
        run_model(d, wave_step(d, cycles));
}

int card_device_wave_start(struct card_device *d, const char *file)
{
    int rc = card_model_wave_start(d->model, file);
    d->wave.running = d->wave.running || rc == 0;
    return rc;
}

void card_device_wave_stop(struct card_device *d)
{
    if (d->wave.running)
        card_model_wave_stop(d->model);
    d->wave.running = false;
}

// ---------------------------------------------------------------------------------------------------------
// BAR0

// A register access runs the clock for a few cycles, which may be the last ones of the pending work.
static void after_access(struct card_device *d, bool was_busy)
{
    if (was_busy && !works(d))
        d->idle_since = now_ns(CLOCK_MONOTONIC);
}

static uint32_t model_read32(struct card_device *d, uint32_t offset)
{
    bool busy = works(d);
    catch_up(d);
    uint32_t v = card_model_csr_read32(d->model, offset);
    after_access(d, busy);
    return v;
}

// Once.
static uint32_t spoil_doorbell(struct card_device *d, uint32_t offset, uint32_t value)
{
    if (d->fault != CARD_FAULT_BAD_DOORBELL || offset < ESPC_REG_DOORBELL(1) ||
        offset >= ESPC_REG_DOORBELL(ESPC_DOORBELL_COUNT) || offset % ESPC_DOORBELL_STRIDE)
        return value;
    d->fault = CARD_FAULT_NONE;
    return value + 0x10000;
}

static void model_write32(struct card_device *d, uint32_t offset, uint32_t value)
{
    bool busy = works(d);
    catch_up(d);
    d->stuck_for = 0; // there may be something to do
    card_spoil_register(&d->spoil, offset, value);
    card_trouble_register(&d->trouble, offset, value);
    value = spoil_doorbell(d, offset, value);
    card_model_csr_write32(d->model, offset, value);
    after_access(d, busy);
}

// While the clock stands still a register keeps the value of its first read; that read alone costs a few
// cycles.
static uint32_t hang_read(struct card_device *d, uint32_t offset)
{
    uint32_t i = offset / 4;
    if (!d->hang.known[i]) {
        d->hang.value[i] = card_model_csr_read32(d->model, offset);
        d->hang.known[i] = true;
    }
    return d->hang.value[i];
}

static void hang_write(struct card_device *d, uint32_t offset, uint32_t value)
{
    d->hang.value[offset / 4] = value;
    d->hang.known[offset / 4] = true;
    if (d->hang.nheld < CARD_MAX_HELD_WRITES) {
        d->hang.held[d->hang.nheld].offset = offset;
        d->hang.held[d->hang.nheld++].value = value;
    }
}

static uint32_t pending_word(const struct card_device *d, uint32_t word)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < 32 && word * 32 + i < VFU_MAX_VECTORS; i++)
        bits |= (uint32_t)d->server.irq[VFU_IRQ_MSIX].pending[word * 32 + i] << i;
    return bits;
}

static uint32_t bar_read32(struct card_device *d, uint32_t offset)
{
    uint32_t vectors = d->server.irq[VFU_IRQ_MSIX].count;
    if (d->fault == CARD_FAULT_ALL_ONES)
        return UINT32_MAX;
    if (offset < CARD_MODEL_SPACE) {
        if (d->fault == CARD_FAULT_HANG)
            return hang_read(d, offset);
        return model_read32(d, offset);
    }
    if (offset - CARD_PCI_MSIX_TABLE < vectors * 16) {
        uint32_t v;
        memcpy(&v, d->msix_table + (offset - CARD_PCI_MSIX_TABLE), sizeof v);
        return v;
    }
    if (offset >= CARD_PCI_MSIX_PBA && offset < CARD_PCI_MSIX_PBA + VFU_MAX_VECTORS / 8)
        return pending_word(d, (offset - CARD_PCI_MSIX_PBA) / 4);
    return 0;
}

static void bar_write32(struct card_device *d, uint32_t offset, uint32_t value)
{
    if (offset < CARD_MODEL_SPACE && d->fault == CARD_FAULT_HANG) {
        hang_write(d, offset, value);
    } else if (offset < CARD_MODEL_SPACE) {
        model_write32(d, offset, value);
    } else if (offset - CARD_PCI_MSIX_TABLE < d->server.irq[VFU_IRQ_MSIX].count * 16) {
        memcpy(d->msix_table + (offset - CARD_PCI_MSIX_TABLE), &value, sizeof value);
    }
}

// A memory access that the function does not claim: reads give all ones, writes vanish.
static bool claimed(struct card_device *d)
{
    if (d->fault == CARD_FAULT_DEAD)
        return false;
    if (pci_config_memory_enabled(&d->pci))
        return true;
    if (!d->told_disabled)
        note("BAR0 access while memory space is off (command register bit 1) or the function is in D3: "
             "ignored");
    d->told_disabled = true;
    d->refused_accesses++;
    return false;
}

static int bar_read(struct card_device *d, uint64_t offset, uint8_t *buf, uint32_t len)
{
    if (!claimed(d)) {
        memset(buf, 0xff, len);
        return 0;
    }
    while (len) {
        uint32_t in = (uint32_t)offset & 3, n = 4 - in < len ? 4 - in : len;
        uint32_t v = bar_read32(d, (uint32_t)offset & ~3u);
        memcpy(buf, (const uint8_t *)&v + in, n);
        buf += n;
        offset += n;
        len -= n;
    }
    return 0;
}

static int bar_write(struct card_device *d, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    if (!claimed(d))
        return 0;
    if ((offset | len) & 3) {
        // The registers have no byte enables: half a register cannot be written.
        d->refused_accesses++;
        return -EINVAL;
    }
    for (uint32_t i = 0; i < len; i += 4) {
        uint32_t v;
        memcpy(&v, buf + i, sizeof v);
        bar_write32(d, (uint32_t)offset + i, v);
    }
    return 0;
}

// ------------------------------------------------------------------------------------- configuration and
// resets

void card_device_config(const struct card_device *d, uint8_t out[CARD_PCI_CONFIG_SIZE])
{
    if (d->fault == CARD_FAULT_DEAD)
        memset(out, 0xff, CARD_PCI_CONFIG_SIZE);
    else
        memcpy(out, d->pci.space, CARD_PCI_CONFIG_SIZE);
}

static void config_changed(struct card_device *d)
{
    if (d->config_changed)
        d->config_changed(d->config_ctx);
}

static void config_write(struct card_device *d, uint64_t offset, const uint8_t *buf, uint32_t len)
{
    if (d->fault == CARD_FAULT_DEAD)
        return;
    bool memory = pci_config_memory_enabled(&d->pci);
    unsigned actions = pci_config_write(&d->pci, (uint32_t)offset, buf, len);
    if (actions & CARD_PCI_ACTION_FLR)
        card_device_reset(d);
    if (!memory && pci_config_memory_enabled(&d->pci))
        d->told_disabled = false;
    config_changed(d);
}

// Brings the function to its state after power-on. What the model was doing on the bus is forgotten, and bus
// mastering is off before it runs again, so nothing of the old work can reach memory.
static void reset_function(struct card_device *d)
{
    pci_config_reset(&d->pci);
    memset(d->msix_table, 0, sizeof d->msix_table);
    for (uint32_t i = 0; i < VFU_MAX_VECTORS; i++)
        d->server.irq[VFU_IRQ_MSIX].pending[i] = false;
    memset(d->hang.known, 0, sizeof d->hang.known);
    memset(&d->spoil, 0, sizeof d->spoil);
    card_trouble_reset(&d->trouble);
    d->stuck = false;
    d->stuck_for = 0;
    d->hang.nheld = 0;
    d->resets++;
    catch_up(d);
    card_model_hard_reset(d->model);
    for (uint64_t ran = 0; ran < RESET_CYCLES && card_model_busy(d->model); ran += RESET_SLICE)
        run_model(d, RESET_SLICE);
    if (card_model_busy(d->model))
        note("the model is still busy after its reset");
    d->idle_since = now_ns(CLOCK_MONOTONIC);
}

int card_device_reset(struct card_device *d)
{
    if (d->fault == CARD_FAULT_DEAD)
        return -EIO;
    bool memory = pci_config_memory_enabled(&d->pci);
    reset_function(d);
    if (memory && vfu_server_connected(&d->server))
        pci_config_enable_memory(&d->pci);
    config_changed(d);
    return 0;
}

int card_device_attach(struct card_device *d, int fd)
{
    int rc = vfu_server_attach(&d->server, fd);
    if (rc == 0)
        pci_config_enable_memory(&d->pci);
    config_changed(d);
    return rc;
}

void card_device_detach(struct card_device *d)
{
    vfu_server_detach(&d->server);
    d->told_disabled = false;
    card_device_reset(d);
}

// -------------------------------------------------------------------------------------------------------
// faults

static const char *const fault_names[] = {
#define X(id, name, spoil, dma, text) name,
    CARD_FAULT_LIST(X)
#undef X
};

const char *card_fault_name(enum card_fault fault)
{
    return fault_names[fault];
}

int card_fault_parse(const char *name, enum card_fault *out)
{
    for (unsigned i = 1; i < CARD_FAULT_COUNT; i++) {
        if (strcmp(name, fault_names[i]) == 0) {
            *out = (enum card_fault)i;
            return 0;
        }
    }
    return -EINVAL;
}

static void leave_hang(struct card_device *d)
{
    d->idle_since = now_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; i < d->hang.nheld; i++)
        model_write32(d, d->hang.held[i].offset, d->hang.held[i].value);
    d->hang.nheld = 0;
}

void card_device_set_fault(struct card_device *d, enum card_fault fault)
{
    enum card_fault old = d->fault;
    if (fault == old)
        return;
    catch_up(d);
    d->fault = fault;
    d->stuck = d->stuck && fault == CARD_FAULT_STUCK_DMA;
    d->trouble.has_context = d->trouble.upset = false; // a packet from now on
    if (old == CARD_FAULT_HANG && fault != CARD_FAULT_DEAD)
        leave_hang(d);
    if (fault == CARD_FAULT_HANG)
        memset(d->hang.known, 0, sizeof d->hang.known);
    if (old == CARD_FAULT_DEAD)
        reset_function(d);
    if (fault == CARD_FAULT_BAD_KEY) {
        card_trouble_invert_keys(&d->trouble, d->model);
        d->fault = CARD_FAULT_NONE; // once
    }
    config_changed(d);
}

bool card_device_cut(struct card_device *d)
{
    bool cut = d->fault == CARD_FAULT_SOCKET_CUT;
    if (cut)
        d->fault = CARD_FAULT_NONE;
    return cut;
}

// ------------------------------------------------------------------------------------------- the server's
// device

static int on_region_read(void *ctx, uint32_t region, uint64_t offset, void *buf, uint32_t len)
{
    struct card_device *d = ctx;
    if (region == VFU_REGION_BAR0)
        return bar_read(d, offset, buf, len);
    if (d->fault == CARD_FAULT_DEAD)
        memset(buf, 0xff, len);
    else
        memcpy(buf, d->pci.space + offset, len);
    return 0;
}

static int on_region_write(void *ctx, uint32_t region, uint64_t offset, const void *buf, uint32_t len)
{
    struct card_device *d = ctx;
    if (region == VFU_REGION_BAR0)
        return bar_write(d, offset, buf, len);
    config_write(d, offset, buf, len);
    return 0;
}

static int on_reset(void *ctx)
{
    return card_device_reset(ctx);
}

static void on_log(void *ctx, const char *text)
{
    (void)ctx;
    note(text);
}

static const struct vfu_device_ops device_ops = {
    .region_read = on_region_read, .region_write = on_region_write, .reset = on_reset, .log = on_log};

static int make_model(struct card_device *d, const struct card_device_options *o)
{
    const struct card_model_config config = {
        .dma_read = on_dma_read, .dma_write = on_dma_write, .irq = on_irq, .ctx = d, .sa_slots = o->sa_slots};
    if (o->lanes != 1 && o->lanes != 4)
        return -ENOTSUP;
    d->model = o->lanes == 1 ? card_model_l1_new(&config) : card_model_l4_new(&config);
    if (!d->model)
        return -ENOMEM;
    d->sa_slots = card_model_csr_read32(d->model, ESPC_REG_SA_SLOTS);
    if (o->sa_slots && d->sa_slots != o->sa_slots)
        return -ERANGE;
    d->clock_khz = card_model_csr_read32(d->model, ESPC_REG_CLOCK_KHZ);
    return 0;
}

int card_device_init(struct card_device *d, const struct card_device_options *o)
{
    memset(d, 0, sizeof *d);
    int rc = vfu_server_init(&d->server, &device_ops, d);
    if (rc == 0)
        rc = card_trouble_init(&d->trouble);
    if (rc == 0)
        rc = make_model(d, o);
    if (rc) {
        card_device_free(d);
        return rc;
    }
    unsigned vectors = card_model_vectors(d->model);
    pci_config_init(&d->pci, vectors, CARD_PCI_SERIAL_BASE | card_model_lanes(d->model));
    d->server.region_size[VFU_REGION_BAR0] = CARD_PCI_BAR0_SIZE;
    d->server.region_size[VFU_REGION_CONFIG] = CARD_PCI_CONFIG_SIZE;
    vfu_irq_init(&d->server.irq[VFU_IRQ_MSIX], vectors);
    vfu_irq_init(&d->server.irq[VFU_IRQ_REQ], 1);
    while (card_model_busy(d->model))
        run_model(d, RESET_SLICE);
    d->idle_since = now_ns(CLOCK_MONOTONIC);
    return 0;
}

void card_device_free(struct card_device *d)
{
    if (d->model) {
        card_device_wave_stop(d);
        card_model_destroy(d->model);
        d->model = NULL;
    }
    card_trouble_free(&d->trouble);
    vfu_server_free(&d->server);
}

uint32_t card_device_peek(struct card_device *d, uint32_t offset)
{
    return model_read32(d, offset);
}

void card_device_snapshot(struct card_device *d)
{
    model_write32(d, ESPC_REG_SNAPSHOT, 1);
}
