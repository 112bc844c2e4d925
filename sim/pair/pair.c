// SPDX-License-Identifier: Apache-2.0
// See pair.h. The daemons and the operator's command are those beside this program; nothing of them is
// linked.
#include "sim/pair/pair.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "espalier/version.h"
#include "sim/pair/lab.h"
#include "sim/pair/report.h"
#include "sim/pair/traffic.h"
#include "sim/pair/watch.h"

enum { DONE = 0, FAILED = 1, USAGE = 2, MISSING = 3 };
enum {
    PATIENCE_MS = 20000,
    ECHOES = 200,
    BLOCKED_ECHOES = 3,
    BLOCKED_MS = 200,
    ECHO_MS = 5000,
    STREAM_MS = 60000
};
enum { STREAM_SOFT = 4 << 20, STREAM_CARD = 64 << 10, ECHOES_CARD = 40 };

static const char usage_text[] =
    "usage: %s [--card] [--json] [--junit FILE] [--keep]\n"
    "  Two gateways (espalierd, beside this program) in network namespaces of their own, a tunnel between\n"
    "  them, traffic through it, a look at the link. As root, or as anybody where the kernel gives user\n"
    "  namespaces; the machine's own network is not touched.\n"
    "  --card        one of them protects on a simulated card (espalier-card)\n"
    "  --json        the steps and the verdict as JSON on standard output\n"
    "  --junit FILE  the same as JUnit\n"
    "  --keep        the folder with logs and configuration stays\n"
    "  Exit status: 0 traffic passed, 1 it did not, 2 usage, 3 a right, a device or a program is missing.\n";

struct run {
    struct pair_lab lab;
    struct pair_report report;
    struct pair_watch watch;
    bool card, json, keep;
    const char *junit;
    char psk[65];
};

static const char *engine(const struct run *r)
{
    return r->card ? "card" : "software";
}

// ---- the two gateways

static bool wait_until(bool (*there)(struct run *, int), struct run *r, int which)
{
    uint64_t until = pair_ms() + PATIENCE_MS;
    while (!there(r, which)) {
        if (pair_ms() >= until)
            return false;
        poll(NULL, 0, 10);
    }
    return true;
}

static bool exists(const char *fmt, const char *dir)
{
    char path[200];
    snprintf(path, sizeof(path), fmt, dir);
    return access(path, F_OK) == 0;
}

static bool card_there(struct run *r, int which)
{
    (void)which;
    return exists("%s/pci/devices/0000:01:00.0/vfio-user.sock", r->lab.dir) || lab_ended(&r->lab.card);
}

static bool start_card(struct run *r)
{
    char program[600], dir[100];
    char *const argv[] = {program, "--dir", dir, NULL};
    snprintf(program, sizeof(program), "%s/espalier-card", r->lab.bin);
    snprintf(dir, sizeof(dir), "%s/pci", r->lab.dir);
    r->lab.card = lab_start(&r->lab, NULL, "card.log", argv);
    bool ok = wait_until(card_there, r, 0) && r->lab.card > 0;
    return report_step(&r->report, "card", ok, "%s",
                       ok ? "a simulated card is there" : "it does not come up");
}

static bool serves(struct run *r, int which)
{
    struct pair_site *s = &r->lab.site[which];
    return exists("%s/vici", s->dir) || lab_ended(&s->daemon);
}

static bool start_gateway(struct run *r, int which)
{
    struct pair_site *s = &r->lab.site[which];
    char program[600], vici[120], run_dir[120], pci[100];
    bool card = r->card && which == PAIR_WEST;
    char *const argv[] = {program,
                          "--vici",
                          vici,
                          "--run-dir",
                          run_dir,
                          "--card",
                          card ? "auto" : "none",
                          "--tun",
                          "pair",
                          card ? "--pci-sysfs" : NULL,
                          pci,
                          NULL};
    snprintf(program, sizeof(program), "%s/espalierd", r->lab.bin);
    snprintf(vici, sizeof(vici), "unix://%s/vici", s->dir);
    snprintf(run_dir, sizeof(run_dir), "%s/run", s->dir);
    snprintf(pci, sizeof(pci), "%s/pci", r->lab.dir);
    s->daemon = lab_start(&r->lab, s, "espalierd.log", argv);
    return s->daemon > 0 && wait_until(serves, r, which) && s->daemon > 0;
}

static bool start_gateways(struct run *r)
{
    bool ok = start_gateway(r, PAIR_WEST) && start_gateway(r, PAIR_EAST);
    return report_step(&r->report, "gateways", ok, "%s",
                       ok ? "two espalierd serve" : "espalierd does not start");
}

static bool write_conf(struct run *r, int which)
{
    const struct pair_site *s = &r->lab.site[which], *peer = &r->lab.site[!which];
    char path[160];
    snprintf(path, sizeof(path), "%s/swanctl.conf", s->dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return pair_fail(&r->lab, "%s: %s", path, strerror(errno));
    fprintf(f,
            "connections {\n  pair {\n    version = 2\n    local_addrs = %s\n    remote_addrs = %s\n"
            "    local {\n      auth = psk\n      id = %s.example\n    }\n"
            "    remote {\n      auth = psk\n      id = %s.example\n    }\n"
            "    children {\n      net {\n        local_ts = %s/32\n        remote_ts = %s/32\n"
            "        esp_proposals = aes256gcm16\n        hw_offload = %s\n      }\n    }\n  }\n}\n"
            "secrets {\n  ike {\n    id-1 = west.example\n    id-2 = east.example\n    secret = %s\n  }\n}\n",
            s->outer, peer->outer, s->name, peer->name, s->inner, peer->inner,
            r->card && which == PAIR_WEST ? "auto" : "no", r->psk);
    return fclose(f) == 0 || pair_fail(&r->lab, "%s: %s", path, strerror(errno));
}

// espalier COMMAND WHAT at that site; its last line is why.
static bool operate(struct run *r, int which, char *command, char *what, char *out, size_t size)
{
    struct pair_site *s = &r->lab.site[which];
    char program[600], uri[120];
    char *const argv[] = {program, command, "--uri", uri, what, NULL};
    snprintf(program, sizeof(program), "%s/espalier", r->lab.bin);
    snprintf(uri, sizeof(uri), "unix://%s/vici", s->dir);
    if (lab_run(&r->lab, s, argv, out, size, PATIENCE_MS) == 0)
        return true;
    for (size_t n = strlen(out); n && out[n - 1] == '\n'; n--)
        out[n - 1] = 0;
    const char *last = strrchr(out, '\n');
    return pair_fail(&r->lab, "%s: espalier %s: %.300s", s->name, command, last ? last + 1 : out);
}

static bool load(struct run *r)
{
    char out[8192], file[160];
    bool ok = true;
    for (int i = 0; i < PAIR_SITES && ok; i++) {
        snprintf(file, sizeof(file), "%s/swanctl.conf", r->lab.site[i].dir);
        ok = write_conf(r, i) && operate(r, i, "load", file, out, sizeof(out));
    }
    return report_step(&r->report, "configuration", ok, "%s", ok ? "loaded at both" : r->lab.why);
}

// ---- what is asked of them

// Encrypted or not at all: loaded, and no tunnel yet.
static bool nothing_passes(struct run *r)
{
    struct pair_echo e;
    bool could = echo_run(&r->lab, BLOCKED_ECHOES, BLOCKED_MS, &e);
    watch_take(&r->watch);
    return report_step(&r->report, "before the tunnel", could && !e.returned && !r->watch.clear,
                       "%u of %d datagrams came back, %" PRIu64 " packets in clear on the link", e.returned,
                       BLOCKED_ECHOES, r->watch.clear);
}

static bool bring_up(struct run *r)
{
    char out[16384];
    bool ok = operate(r, PAIR_WEST, "up", "net", out, sizeof(out));
    return report_step(&r->report, "tunnel", ok, "%s", ok ? "up" : r->lab.why);
}

static bool echoes(struct run *r)
{
    struct pair_echo e;
    unsigned count = r->card ? ECHOES_CARD : ECHOES;
    if (!echo_run(&r->lab, count, ECHO_MS, &e))
        return report_step(&r->report, "datagrams", false, "%s", r->lab.why);
    return report_step(&r->report, "datagrams", e.returned == count && !e.wrong,
                       "%u of %u there and back, %u wrong; median %" PRIu64 " us", e.returned, count, e.wrong,
                       e.median_us);
}

static bool stream(struct run *r, int from)
{
    static const char *const names[] = {"stream west to east", "stream east to west"};
    struct pair_stream st;
    uint64_t octets = r->card ? STREAM_CARD : STREAM_SOFT;
    bool ok = stream_run(&r->lab, from, octets, STREAM_MS, &st);
    return report_step(&r->report, names[from], ok,
                       "%" PRIu64 " of %" PRIu64 " octets as they were sent, %.1f Mb/s", st.octets, octets,
                       st.ms ? (double)st.octets * 8 / 1e3 / (double)st.ms : 0.0);
}

// Every place in a document where that key stands with that value.
static unsigned said(const json_t *j, const char *key, const char *value)
{
    const char *k;
    json_t *v;
    size_t i;
    unsigned n = 0;
    json_object_foreach((json_t *)j, k, v)
    {
        const char *text = json_string_value(v);
        n += (text && !strcmp(k, key) && !strcmp(text, value)) + said(v, key, value);
    }
    json_array_foreach(j, i, v) n += said(v, key, value);
    return n;
}

static bool on_the_card(struct run *r)
{
    char out[32768];
    bool asked = operate(r, PAIR_WEST, "sas", "--json", out, sizeof(out));
    json_t *j = asked ? json_loads(out, 0, NULL) : NULL;
    unsigned n = said(j, "offload", "card");
    json_decref(j);
    return report_step(&r->report, "offload", n == 1, "%u of 1 CHILD SA is on the card", n);
}

static bool the_link(struct run *r)
{
    const struct pair_watch *w = &r->watch;
    watch_take(&r->watch);
    return report_step(&r->report, "the link", w->esp && !w->clear && !w->repeated && !w->unseen,
                       "%" PRIu64 " ESP packets, %" PRIu64 " in clear, %" PRIu64 " numbers twice, %" PRIu64
                       " of IKE, %" PRIu64 " not seen",
                       w->esp, w->clear, w->repeated, w->ike, w->unseen);
}

static bool the_end(struct run *r)
{
    bool ok = true;
    for (int i = 0; i < PAIR_SITES; i++)
        ok &= lab_stop(&r->lab.site[i].daemon, SIGTERM, PATIENCE_MS);
    return report_step(&r->report, "the end", ok, "%s",
                       ok ? "both ended as asked" : "not both ended with status 0");
}

static bool all_steps(struct run *r)
{
    bool ok = lab_open(&r->lab) && watch_open(&r->watch, &r->lab);
    if (!report_step(&r->report, "link", ok, "%s",
                     !ok                     ? r->lab.why
                     : r->lab.user_namespace ? "two namespaces in a user namespace"
                                             : "two namespaces"))
        return false;
    ok = (!r->card || start_card(r)) && start_gateways(r) && load(r) && nothing_passes(r) && bring_up(r) &&
         echoes(r) && stream(r, PAIR_WEST) && stream(r, PAIR_EAST) && (!r->card || on_the_card(r));
    the_link(r);
    if (!ok && !r->report.quiet)
        lab_show_logs(&r->lab);
    return the_end(r) && ok;
}

// ---- the command

static bool tell(const struct run *r, const char *lacks)
{
    char *text = NULL;
    bool ok = true;
    if (r->json) {
        ok = report_json(&r->report, engine(r), lacks, &text) == 0;
        puts(ok ? text : "{}");
        free(text);
    } else if (lacks) {
        fprintf(stderr, "missing: %s\n", lacks);
    } else {
        printf("pair: %s\n", r->report.failed ? "FAILED" : "traffic passed, nothing in clear");
    }
    if (r->junit && !report_junit(&r->report, engine(r), lacks, r->junit)) {
        fprintf(stderr, "%s: %s\n", r->junit, strerror(errno));
        ok = false;
    }
    return ok;
}

static bool secret(struct run *r)
{
    uint8_t octets[32];
    if (getrandom(octets, sizeof(octets), 0) != (ssize_t)sizeof(octets))
        return pair_fail(&r->lab, "no random octets: %s", strerror(errno));
    for (size_t i = 0; i < sizeof(octets); i++)
        snprintf(r->psk + 2 * i, 3, "%02x", octets[i]);
    return true;
}

static int run(struct run *r)
{
    r->watch.fd = -1;
    if (!lab_possible(&r->lab, r->card) || !secret(r)) {
        lab_close(&r->lab);
        return tell(r, r->lab.why) ? MISSING : FAILED;
    }
    all_steps(r);
    watch_close(&r->watch);
    lab_close(&r->lab);
    if (r->keep)
        fprintf(stderr, "kept: %s\n", r->lab.dir);
    return tell(r, NULL) && !r->report.failed ? DONE : FAILED;
}

static volatile pid_t runner;
static const int endings[] = {SIGINT, SIGTERM, SIGHUP};

static void pass_on(int number)
{
    kill(runner, number);
}

static void forward(void)
{
    struct sigaction to = {.sa_handler = pass_on, .sa_flags = SA_RESTART}, before;
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (sigaction(endings[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL) // nohup's stay ignored
            sigaction(endings[i], &to, NULL);
}

// All of it in a process of its own, so that the folder goes also where somebody ends the run.
static int run_apart(struct run *r)
{
    sigset_t held, before;
    int status = 0;
    sigemptyset(&held);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        sigaddset(&held, endings[i]);
    report_begin(&r->report, r->json);
    if (!lab_begin(&r->lab))
        return tell(r, r->lab.why) ? MISSING : FAILED;
    sigprocmask(SIG_BLOCK, &held, &before);
    runner = fork();
    if (runner > 0)
        forward();
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (runner == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int rc = run(r);
        fflush(NULL);
        _exit(rc);
    }
    bool ended = runner > 0 && waitpid(runner, &status, 0) == runner;
    if (!r->keep)
        lab_sweep(&r->lab);
    if (ended && WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return ended && WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

int pair_main(int argc, char **argv)
{
    enum { CARD = 256, JSON, JUNIT, KEEP, HELP, VERSION };
    static const struct option options[] = {{"card", no_argument, NULL, CARD},
                                            {"json", no_argument, NULL, JSON},
                                            {"junit", required_argument, NULL, JUNIT},
                                            {"keep", no_argument, NULL, KEEP},
                                            {"help", no_argument, NULL, HELP},
                                            {"version", no_argument, NULL, VERSION},
                                            {NULL, 0, NULL, 0}};
    static struct run r;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case CARD: r.card = true; break;
        case JSON: r.json = true; break;
        case JUNIT: r.junit = optarg; break;
        case KEEP: r.keep = true; break;
        case HELP: printf(usage_text, argv[0]); return DONE;
        case VERSION: puts("espalier-pair " ESPALIER_VERSION); return DONE;
        default: fprintf(stderr, usage_text, argv[0]); return USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s takes no such argument: \"%s\"\n", argv[0], argv[optind]);
        fprintf(stderr, usage_text, argv[0]);
        return USAGE;
    }
    return run_apart(&r);
}
