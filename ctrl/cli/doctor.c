// SPDX-License-Identifier: Apache-2.0
#include "ctrl/cli/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timex.h>
#include <time.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/table.h"

void doctor_find(struct doctor *d, enum weight w, const char *why, const char *mend, const char *fmt, ...)
{
    char what[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    d->wrong += w == WRONG;
    json_array_append_new(d->findings, json_pack("{s:s, s:s, s:o, s:o, s:o}", "check", d->check, "weight",
                                                 w == WRONG ? "wrong" : "note", "what", json_text(what),
                                                 "why", json_text(why), "mend", json_text(mend)));
}

// ---- the daemon, the clock, entropy

static void check_daemon(struct doctor *d)
{
    static const char why[] = "without it there is no tunnel; what an earlier one protected stays blocked";
    struct esp_error err = {0};
    const char *uri = d->cli->value[CLI_URI] ? d->cli->value[CLI_URI] : CLI_DEFAULT_URI;
    int r = talk_open(&d->cli->talk, uri, &err);
    d->daemon = r == 0;
    if (r == -EACCES || r == -EPERM)
        doctor_find(d, WRONG, "the daemon cannot be asked, and what follows is half of it",
                    "sudo espalier doctor", "%s", err.text);
    else if (r)
        doctor_find(d, WRONG, why, "start it: espalierd, as root; if it ends, its last line says why", "%s",
                    err.text);
    else
        doctor_learn(d);
}

static void look_at_time(struct doctor_time *t)
{
    struct timex x = {0};
    unsigned char octet;
    t->now = time(NULL);
    t->synchronised = adjtimex(&x) >= 0 && !(x.status & STA_UNSYNC);
    t->seeded = getrandom(&octet, 1, GRND_NONBLOCK) == 1 || errno != EAGAIN;
}

void doctor_judge_clock(struct doctor *d, const struct doctor_time *t)
{
    enum { BUILT = 1767225600 }; // 2026-01-01: nothing of this is older
    char day[32];
    time_t now = (time_t)t->now;
    struct tm tm;
    if (t->now < BUILT) {
        gmtime_r(&now, &tm);
        strftime(day, sizeof(day), "%Y-%m-%d", &tm);
        doctor_find(
            d, WRONG,
            "certificates seem not to be valid yet, and CRLs and OCSP answers to come from the future",
            "date -s '2026-11-30 12:00', or chronyd -q 'server pool.ntp.org iburst'", "the clock says %s",
            day);
    } else if (!t->synchronised) {
        doctor_find(d, NOTE, "a clock that drifts ends certificates early or late",
                    "timedatectl set-ntp true",
                    "nothing keeps the clock right (the kernel calls it unsynchronised)");
    }
}

void doctor_judge_entropy(struct doctor *d, const struct doctor_time *t)
{
    if (!t->seeded)
        doctor_find(d, WRONG, "the daemon waits for it before it makes its first key",
                    "apt install rng-tools5 haveged, or give a virtual machine a virtio-rng device",
                    "the kernel's random numbers are not seeded yet");
}

static void check_clock(struct doctor *d)
{
    struct doctor_time t;
    look_at_time(&t);
    doctor_judge_clock(d, &t);
}

static void check_entropy(struct doctor *d)
{
    struct doctor_time t;
    look_at_time(&t);
    doctor_judge_entropy(d, &t);
}

// ---- all of them

static const struct {
    const char *name;
    void (*run)(struct doctor *d);
    bool of_daemon; // it asks one
} checks[] = {
    {"daemon", check_daemon, false},
    {"clock", check_clock, false},
    {"entropy", check_entropy, false},
    {"rights", doctor_rights, false},
    {"ports", doctor_ports, false},
    {"policy", doctor_policy, false},
    {"firewall", doctor_firewall, false},
    {"rp-filter", doctor_rp_filter, true},
    {"forwarding", doctor_forwarding, true},
    {"addresses", doctor_addresses, true},
    {"way", doctor_ways, true},
    {"route-based", doctor_vtis, true},
    {"certificates", doctor_certificates, true},
    {"tunnels", doctor_tunnels, true},
    {"card", doctor_card, false},
    {"peer", doctor_peer, true},
};
enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

static void put(struct cli *cli, const char *head, const json_t *finding, const char *key)
{
    fprintf(cli->out, "%s%s\n", head, json_string_value(json_object_get(finding, key)));
}

static void print(struct doctor *d, const json_t *fine)
{
    struct cli *cli = d->cli;
    size_t i;
    json_t *f;
    json_array_foreach(d->findings, i, f)
    {
        bool wrong = strcmp(json_string_value(json_object_get(f, "weight")), "wrong") == 0;
        put_tone(cli, wrong ? BAD : NOTABLE, wrong ? "wrong  " : "note   ");
        fprintf(cli->out, "%s: ", json_string_value(json_object_get(f, "check")));
        put(cli, "", f, "what");
        put(cli, "       why:  ", f, "why");
        put(cli, "       mend: ", f, "mend");
    }
    put_tone(cli, GOOD, "fine   ");
    json_array_foreach(fine, i, f) fprintf(cli->out, "%s%s", i ? ", " : "", json_string_value(f));
    fputc('\n', cli->out);
}

static void run(struct doctor *d, json_t *fine)
{
    for (unsigned i = 0; i < CHECKS; i++) {
        size_t before = json_array_size(d->findings);
        bool wanted =
            (!checks[i].of_daemon || d->daemon) && (checks[i].run != doctor_peer || d->cli->operands);
        d->check = checks[i].name;
        if (!wanted)
            continue;
        checks[i].run(d);
        if (json_array_size(d->findings) == before)
            json_array_append_new(fine, json_string(checks[i].name));
    }
}

int cmd_doctor(struct cli *cli)
{
    struct doctor d = {.cli = cli, .findings = json_array()};
    json_t *fine = json_array();
    run(&d, fine);
    if (cli_given(cli, CLI_JSON)) {
        json_put(cli,
                 json_pack("{s:O, s:O, s:i}", "findings", d.findings, "fine", fine, "wrong", (int)d.wrong));
    } else {
        print(&d, fine);
    }
    json_decref(d.findings);
    json_decref(fine);
    json_decref(d.conns);
    json_decref(d.sas);
    return d.wrong ? CLI_FAILED : CLI_DONE;
}
