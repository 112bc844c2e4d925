// SPDX-License-Identifier: Apache-2.0
// `espalier card info | bind | unbind | selftest | reset`: one card, without the daemon. Each of them but
// bind and unbind has the card for that time, and is refused by name where somebody else has it.
#include <errno.h>
#include <string.h>

#include "ctrl/cli/card_ops.h"
#include "ctrl/cli/card_test.h"
#include "ctrl/cli/json.h"
#include "ctrl/cli/pci.h"
#include "ctrl/cli/table.h"
#include "ctrl/lib/printable.h"
#include "espalier/card_look.h"

// What is said where another process has the card: by its name, where it is seen.
static int in_use(const struct pci_card *card, int rc, struct esp_error *err)
{
    char who[64];
    if (rc == -EBUSY && pci_holder(card, who, sizeof(who)))
        esp_fail(err, rc, card->name, "%s has it", who);
    return rc;
}

static int chosen(struct cli *cli, struct pci_card *card)
{
    struct esp_error err = {0};
    int r = pci_card_of(card, cli->operands > 1 ? cli->operand[1] : NULL, cli->value[CLI_PCI_SYSFS], &err);
    return r ? cli_fail(cli, r, &err) : CLI_DONE;
}

// One line of what was done, or the document.
static void put_done(struct cli *cli, const struct pci_card *card, const char *what, json_t *more)
{
    json_t *doc = json_pack("{s:s, s:o*}", "address", card->name, "done", json_text(what));
    if (cli_given(cli, CLI_JSON)) {
        json_object_update(doc, more);
        json_put(cli, doc);
    } else {
        json_decref(doc);
        fprintf(cli->out, "%s ", card->name);
        cli_put_clean(cli, what);
        fputc('\n', cli->out);
    }
    json_decref(more);
}

// ---- info

static json_t *facts_json(const struct esp_card_facts *f)
{
    json_t *names = json_array();
    char list[sizeof(f->features)], *at = NULL;
    snprintf(list, sizeof(list), "%s", f->features);
    for (char *name = strtok_r(list, " ", &at); name; name = strtok_r(NULL, " ", &at))
        json_array_append_new(names, json_string(name));
    json_t *o = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:b, s:o}", "abi-major",
                          (int)(f->abi >> 16), "abi-minor", (int)(f->abi & 0xffff), "sas", (int)f->slots,
                          "queues", (int)f->queues, "longest-packet", (int)f->max_len, "clock-khz",
                          (int)f->clock_khz, "lanes", (int)f->lanes, "vectors", (int)f->vectors, "ready",
                          (int)f->ready, "fatal", (int)f->fatal, "features", names);
    char build[16];
    snprintf(build, sizeof(build), "%08x", f->build);
    json_object_set_new(o, "build", json_string(build));
    return o;
}

static void put_facts(struct cli *cli, const struct esp_card_facts *f)
{
    char sas[FIGURE], longest[FIGURE];
    fprintf(cli->out, "%-14s%u.%u, build %08x\n", "interface", f->abi >> 16, f->abi & 0xffff, f->build);
    fprintf(cli->out, "%-14s%s in each direction\n", "SAs", figure_number(sas, f->slots));
    fprintf(cli->out, "%-14s%u for packets of up to %s octets\n", "queues", f->queues,
            figure_number(longest, f->max_len));
    fprintf(cli->out, "%-14s%u.%03u MHz, %u octets a cycle\n", "clock", f->clock_khz / 1000,
            f->clock_khz % 1000, 16 * f->lanes);
    fprintf(cli->out, "%-14s%u MSI-X vectors\n", "interrupts", f->vectors);
    fprintf(cli->out, "%-14s%s\n", "features", f->features);
    fprintf(cli->out, "%-14s%s%s\n", "state",
            f->fatal   ? "FATAL"
            : f->ready ? "ready"
                       : "not ready",
            f->zeroized ? ", no key in it" : "");
}

static void link_of(const struct pci_card *card, const char *sysfs, char *to, size_t size)
{
    char speed[40], width[16];
    pci_attribute(card, sysfs, "current_link_speed", speed, sizeof(speed));
    pci_attribute(card, sysfs, "current_link_width", width, sizeof(width));
    to[0] = 0;
    if (speed[0] && width[0])
        snprintf(to, size, "x%s, %s", width, speed);
}

static void put_place(struct cli *cli, const struct pci_card *card, const char *way)
{
    char group[40] = "no IOMMU group";
    if (card->group >= 0)
        snprintf(group, sizeof(group), "IOMMU group %d", card->group);
    fprintf(cli->out, "%-14s%s\n", "address", card->name);
    fprintf(cli->out, "%-14s", "driver");
    cli_put_clean(cli, card->simulated   ? "none: it is a process (vfio-user)"
                       : card->driver[0] ? card->driver
                                         : "none");
    fprintf(cli->out, ", %s\n", group);
    if (!way[0])
        return;
    fprintf(cli->out, "%-14s", "link");
    cli_put_clean(cli, way);
    fputc('\n', cli->out);
}

static int put_info(struct cli *cli, const struct pci_card *card, int rc, const struct esp_card_facts *f,
                    const struct esp_error *err)
{
    char way[80];
    link_of(card, cli->value[CLI_PCI_SYSFS], way, sizeof(way));
    if (cli_given(cli, CLI_JSON)) {
        json_t *doc = json_pack("{s:s, s:s, s:b}", "address", card->name, "driver", card->driver, "simulated",
                                (int)card->simulated);
        if (card->group >= 0)
            json_object_set_new(doc, "iommu-group", json_integer(card->group));
        if (way[0])
            json_object_set_new(doc, "link", json_text(way));
        if (rc)
            json_object_set_new(doc, "registers-not-read", json_text(err->text));
        else
            json_object_set_new(doc, "registers", facts_json(f));
        json_put(cli, doc);
        return CLI_DONE;
    }
    put_place(cli, card, way);
    if (rc == 0) {
        put_facts(cli, f);
        return CLI_DONE;
    }
    fprintf(cli->out, "%-14snot read: ", "registers");
    cli_put_clean(cli, err->text);
    fputc('\n', cli->out);
    return CLI_DONE;
}

int card_info(struct cli *cli)
{
    struct esp_card_facts f;
    struct esp_error err = {0};
    struct pci_card card;
    int status = chosen(cli, &card);
    if (status)
        return status;
    int rc = in_use(&card, esp_card_look(&f, cli->value[CLI_PCI_SYSFS], card.name, &err), &err);
    return put_info(cli, &card, rc, &f, &err);
}

// ---- bind, unbind

int card_bind(struct cli *cli)
{
    struct esp_error err = {0};
    struct pci_card card;
    char what[160];
    int status = chosen(cli, &card);
    if (status)
        return status;
    int rc = pci_bind(&card, cli->value[CLI_PCI_SYSFS], cli_given(cli, CLI_FORCE), &err);
    if (rc < 0)
        return cli_fail(cli, rc, &err);
    if (rc)
        snprintf(what, sizeof(what), "is bound to vfio-pci already");
    else
        snprintf(what, sizeof(what), "is bound to vfio-pci (it was to %s): the daemon has it by /dev/vfio/%d",
                 card.driver[0] ? card.driver : "no driver", card.group);
    put_done(cli, &card, what, json_pack("{s:o*}", "was", json_text(card.driver)));
    return CLI_DONE;
}

int card_unbind(struct cli *cli)
{
    struct esp_error err = {0};
    struct pci_card card;
    char what[160];
    int status = chosen(cli, &card);
    if (status)
        return status;
    const char *sysfs = cli->value[CLI_PCI_SYSFS];
    int rc = pci_unbind(&card, sysfs, &err);
    rc = rc ? rc : pci_card_of(&card, card.name, sysfs, &err);
    if (rc)
        return cli_fail(cli, rc, &err);
    snprintf(what, sizeof(what), "is bound to %s", card.driver[0] ? card.driver : "no driver");
    put_done(cli, &card, what, json_pack("{s:o*}", "driver", json_text(card.driver)));
    return CLI_DONE;
}

// ---- reset

int card_reset_it(struct cli *cli)
{
    struct esp_error err = {0};
    struct pci_card card;
    int status = chosen(cli, &card);
    if (status)
        return status;
    int rc = in_use(&card, esp_card_function_reset(cli->value[CLI_PCI_SYSFS], card.name, &err), &err);
    if (rc)
        return cli_fail(cli, rc, &err);
    put_done(cli, &card, "was reset; what SAs and keys it had are gone", NULL);
    return CLI_DONE;
}

// ---- selftest

struct report {
    struct cli *cli;
    json_t *steps; // NULL: they are printed
};

static void told(void *ctx, const char *step, const char *shown)
{
    struct report *r = ctx;
    if (r->steps)
        json_array_append_new(
            r->steps, json_pack("{s:s, s:b, s:o*}", "step", step, "passed", 1, "shown", json_text(shown)));
    if (r->steps)
        return;
    fprintf(r->cli->out, "%-18s", step);
    put_tone(r->cli, GOOD, "ok");
    fprintf(r->cli->out, "      %s\n", shown);
    fflush(r->cli->out);
}

static void put_report(struct cli *cli, const struct pci_card *card, json_t *steps,
                       const struct esp_error *err)
{
    json_t *doc = json_pack("{s:s, s:b, s:o*}", "address", card->name, "passed", (int)!err, "steps", steps);
    if (err)
        json_object_set_new(
            doc, "error",
            json_pack("{s:o*, s:o*}", "field", json_text(err->field), "text", json_text(err->text)));
    json_put(cli, doc);
}

static int failed(struct cli *cli, const struct pci_card *card, struct report *r, const char *step, int rc,
                  struct esp_error *err)
{
    if (!r->steps) {
        fprintf(cli->out, "%-18s", step);
        put_tone(cli, BAD, "FAILED");
        fputc('\n', cli->out);
        fflush(cli->out);
        return cli_fail(cli, rc, err);
    }
    json_array_append_new(r->steps, json_pack("{s:s, s:b}", "step", step, "passed", 0));
    fputs("espalier: ", cli->err);
    printable_put(cli->err, err->text);
    fputc('\n', cli->err);
    put_report(cli, card, r->steps, err);
    return CLI_FAILED;
}

int card_selftest_it(struct cli *cli)
{
    struct esp_error err = {0};
    struct pci_card card;
    const char *step;
    int status = chosen(cli, &card);
    if (status)
        return status;
    struct report r = {cli, cli_given(cli, CLI_JSON) ? json_array() : NULL};
    int rc = in_use(&card, card_test(cli->value[CLI_PCI_SYSFS], card.name, told, &r, &step, &err), &err);
    if (rc)
        return failed(cli, &card, &r, step, rc, &err);
    if (r.steps)
        put_report(cli, &card, r.steps, NULL);
    else
        fprintf(cli->out, "%s works\n", card.name);
    return CLI_DONE;
}
