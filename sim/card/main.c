// SPDX-License-Identifier: Apache-2.0
// espalier-card: the simulated card as a process. It puts a PCI device into DIR, serves it by vfio-user to
// one client at a time, and removes it again on SIGTERM. `espalier-card ctl` talks to a running one.
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "espalier/version.h"
#include "sim/card/control.h"
#include "sim/card/options.h"
#include "sim/card/process.h"
#include "sim/card/stats.h"

static const char usage_text[] =
    "usage: espalier-card --dir DIR [--lanes 1|2|4] [--sas N] [--wire "
    "tap:NAME|packet:IFNAME|pcap:IN,OUT|loop]\n"
    "                     [--json STATS] [--fst FILE [--window FROM:TO]]\n"
    "       espalier-card ctl --dir DIR fault MODE|clear | counters | reset | wave start|stop\n"
    "       espalier-card --help | --version\n"
    "\n"
    "A simulated card: puts a PCI device into DIR, prints `ready DIR/devices/...` once it is usable, serves "
    "one "
    "driver\n"
    "at a time by vfio-user, and takes the device away again at SIGTERM.\n"
    "  --dir DIR       where the device is: `espalierd --pci-sysfs DIR`, `lspci -A linux-sysfs -O "
    "sysfs.path=DIR`\n"
    "  --lanes N       lanes of 16 octets a cycle: the model that is run (1; this build has 1 and 4)\n"
    "  --sas N         SA slots that it says it has, in each direction (all that the model has)\n"
    "  --wire WHERE    its wire port; this card has none, all results come back to the host\n"
    "  --json STATS    writes its counters into that file at its end\n"
    "  --fst FILE      writes its waves there; --window FROM:TO only of those clock cycles\n"
    "\n"
    "ctl speaks to the card that runs in DIR:\n"
    "  counters        prints them\n"
    "  reset           a reset behind the driver's back\n"
    "  wave start|stop   begins and ends the waves (into FILE of --fst, else DIR/espalier-card.fst)\n"
    "  fault MODE      it behaves so from now on; `fault clear` ends that. MODE is one of\n";
static const char status_text[] =
    "Exit status: 0 done, 1 it failed, 2 bad usage, 3 a right or a model is missing, or DIR is in use.\n";

static void print_usage(FILE *to)
{
    fputs(usage_text, to);
#define X(id, name, spoil, dma, text)                                                                        \
    if (CARD_FAULT_##id != CARD_FAULT_NONE)                                                                  \
        fprintf(to, "    %-16s %s\n", name, text);
    CARD_FAULT_LIST(X)
#undef X
    fputs(status_text, to);
}

static int complain(int status, const char *what, const char *why)
{
    fprintf(stderr, "espalier-card: %s%s%s\n", what, why ? ": " : "", why ? why : "");
    return status;
}

static int make_device(struct card_process *p, const struct card_options *o)
{
    const struct card_device_options options = {.lanes = o->lanes, .sa_slots = o->sa_slots};
    int rc = card_device_init(&p->device, &options);
    if (rc == -ERANGE) {
        fprintf(stderr, "espalier-card: --sas %u: this card has %u slots\n", o->sa_slots, p->device.sa_slots);
        return EXIT_USAGE;
    }
    if (rc)
        return complain(EXIT_FAILED, "the model could not be made", strerror(-rc));
    if (o->fst)
        p->device.wave = (struct card_wave){.file = o->fst, .from = o->from, .to = o->to, .wanted = true};
    return EXIT_DONE;
}

// Says why a wave file cannot be written; the model does not.
static int check_wave_file(const struct card_options *o)
{
    if (!o->fst)
        return EXIT_DONE;
    FILE *f = fopen(o->fst, "ab");
    if (!f) {
        int why = errno;
        fprintf(stderr, "espalier-card: --fst %s: cannot be written: %s\n", o->fst, strerror(why));
        return why == EACCES || why == EPERM ? EXIT_MISSING : EXIT_USAGE;
    }
    fclose(f);
    return EXIT_DONE;
}

// The wave must not fail first when its cycle comes: a model without waveforms refuses --fst at the start.
static int check_wave(struct card_process *p, const struct card_options *o)
{
    if (!o->fst)
        return EXIT_DONE;
    int rc = card_device_wave_start(&p->device, o->fst);
    if (rc == -ENOTSUP)
        return complain(EXIT_MISSING, "--fst: this card was built without waveforms", NULL);
    if (rc) {
        fprintf(stderr, "espalier-card: --fst %s: %s\n", o->fst, strerror(-rc));
        return EXIT_FAILED;
    }
    if (o->from)
        card_device_wave_stop(&p->device);
    return EXIT_DONE;
}

static int serve(struct card_process *p, const struct card_options *o)
{
    uint8_t config[CARD_PCI_CONFIG_SIZE];
    card_device_config(&p->device, config);
    if (card_tree_publish(&p->tree, config))
        return complain(EXIT_FAILED, p->tree.error, NULL);
    int rc = card_process_open(p);
    if (rc)
        return complain(EXIT_FAILED, "event loop", strerror(-rc));
    printf("ready %s/devices/" CARD_TREE_SLOT "\n", o->dir);
    fflush(stdout);
    rc = card_process_run(p);
    if (rc)
        return complain(EXIT_FAILED, "event loop", strerror(-rc));
    if (o->json && (rc = card_stats_write(&p->device, o->json)) != 0)
        return complain(EXIT_FAILED, o->json, strerror(-rc));
    return EXIT_DONE;
}

static int run(struct card_process *p, const struct card_options *o)
{
    char *wave_file = NULL;
    int rc = card_tree_lock(&p->tree, o->dir);
    if (rc) {
        complain(EXIT_MISSING, p->tree.error, NULL);
        card_tree_close(&p->tree);
        return EXIT_MISSING;
    }
    if (!o->fst && asprintf(&wave_file, "%s/espalier-card.fst", o->dir) < 0)
        wave_file = NULL;
    // The model's memories hold traffic keys: they go into no core file.
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    card_process_block_signals();
    p->wave_file = o->fst ? o->fst : wave_file;
    p->epollfd = p->signalfd = p->clientfd = p->testerfd = -1;
    int status = make_device(p, o);
    if (status == EXIT_DONE) {
        status = check_wave(p, o);
        if (status == EXIT_DONE)
            status = serve(p, o);
        card_process_close(p);
        card_device_free(&p->device);
    }
    card_tree_close(&p->tree);
    free(wave_file);
    return status;
}

int main(int argc, char **argv)
{
    static struct card_process process;
    struct card_options options;
    int help;
    bool ctl = argc > 1 && strcmp(argv[1], "ctl") == 0;
    const char *first = argc > 1 + ctl ? argv[1 + ctl] : "";
    if (strcmp(first, "--help") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(first, "--version") == 0) {
        puts("espalier-card " ESPALIER_VERSION);
        return EXIT_DONE;
    }
    if (ctl)
        return card_control_main(argc - 1, argv + 1);
    int status = card_options_parse(&options, argc, argv, &help);
    if (help) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (status) {
        complain(status, options.error, NULL);
        return status;
    }
    status = check_wave_file(&options);
    return status ? status : run(&process, &options);
}
