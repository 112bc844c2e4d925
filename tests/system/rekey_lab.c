// SPDX-License-Identifier: Apache-2.0
// The laboratory of the rekeying tests: setting up, asking for rekeys, and judging.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/rekey_lab.h"

enum { REST_MS = PATIENCE_MS, REKEY_MS = PATIENCE_MS };

struct site *rig_site(struct rig *r, int side)
{
    return side == WEST ? &r->lab.west : &r->lab.east;
}

bool rig_is_charon(int side)
{
    const char *kind = getenv(side == WEST ? "ESPALIER_REKEY_WEST" : "ESPALIER_REKEY_EAST");
    return kind ? strcmp(kind, "charon") == 0 : side == EAST;
}

const char *child_name(unsigned n)
{
    static const char *const names[RIG_CHILDREN] = {"net", "net1", "net2", "net3"};
    return names[n];
}

static unsigned children(const struct rig *r)
{
    return r->o.children ? r->o.children : 1;
}

static bool start_espalierd(struct rig *r, int side, const struct tunnel_options *o)
{
    char *none[] = {"--card", "none", NULL},
         *card[] = {"--card", "auto", "--pci-sysfs", r->lab.card_dir, NULL};
    char **which = r->o.card && side == WEST ? card : none, *extra[24];
    size_t n = 0;
    for (size_t i = 0; which[i]; i++)
        extra[n++] = which[i];
    for (size_t i = 0; r->o.settings && r->o.settings[i] && n < 23; i++)
        extra[n++] = r->o.settings[i];
    extra[n] = NULL;
    return espalierd_start(&r->lab, rig_site(r, side), rig_site(r, !side), o, extra);
}

static bool start_side(struct rig *r, int side)
{
    struct site *s = rig_site(r, side);
    struct tunnel_options o = r->o.side[side];
    char path[160];
    o.children = children(r);
    if (rig_is_charon(side)) {
        o.charon_root = side == EAST ? getenv("ESPALIER_CHARON_ROOT") : NULL;
        if (!charon_start(&r->lab, s, rig_site(r, !side), &o))
            return false;
    } else if (!start_espalierd(r, side, &o)) {
        return false;
    }
    snprintf(path, sizeof(path), "%s/vici", s->dir);
    r->vici[side] = vici_open(path);
    return r->vici[side] >= 0 || complain("%s: no connection to its VICI socket", s->name);
}

bool rig_start_again(struct rig *r, int side)
{
    if (r->vici[side] >= 0)
        close(r->vici[side]);
    return start_side(r, side);
}

static bool prepare_wire(struct rig *r)
{
    for (int i = 0; i < 2; i++) {
        struct site *s = rig_site(r, i);
        for (unsigned n = 1; n < children(r); n++)
            if (sh("nsenter --net=%s ip addr add 10.%d.%u.1/32 dev lo", s->ns, i + 1, n))
                return complain("%s: no address for child %u", s->name, n);
    }
    return !r->o.between || middle_start(&r->lab, &r->middle, &r->o.middle);
}

static bool initiate(struct rig *r)
{
    char out[16384];
    for (unsigned n = 0; n < children(r); n++)
        if (swanctl(&r->lab.west, out, sizeof(out), "--initiate --child %s --timeout 20", child_name(n)))
            return complain("%s", out);
    return true;
}

static bool capture(struct rig *r)
{
    for (int i = 0; i < 2; i++) {
        snprintf(r->pcap[i], sizeof(r->pcap[i]), "%.90s/%s.pcap", r->lab.dir, rig_site(r, i)->name);
        rig_site(r, i)->snaplen = r->o.snaplen;
        if (!capture_start(&r->lab, rig_site(r, i), r->pcap[i]))
            return false;
    }
    return true;
}

static bool uses_card(void *ctx)
{
    struct rig *r = ctx;
    char out[16384];
    swanctl(&r->lab.west, out, sizeof(out), "--counters --all --raw");
    return number_after(out, "card_present", 0) == 1;
}

bool rig_card_up(struct rig *r)
{
    return card_start(&r->lab, "") && (!r->lab.west.daemon || wait_for(uses_card, r, PATIENCE_MS) ||
                                       complain("west does not use the card"));
}

void rig_card_kill(struct rig *r)
{
    stop(&r->lab.card, SIGKILL, 1000);
}

bool rig_up(struct rig *r, const char *prefix, const struct rig_options *o)
{
    memset(r, 0, sizeof(*r));
    r->o = *o;
    r->vici[WEST] = r->vici[EAST] = -1;
    return lab_up(&r->lab, prefix) && prepare_wire(r) && (!o->card || card_start(&r->lab, "")) &&
           start_side(r, EAST) && start_side(r, WEST) &&
           (!o->card || wait_for(uses_card, r, PATIENCE_MS) || complain("west does not use the card")) &&
           initiate(r) && capture(r);
}

bool rig_load(struct rig *r, int side, const struct tunnel_options *o)
{
    struct tunnel_options now = *o;
    now.children = children(r);
    r->o.side[side] = *o;
    return site_load(rig_site(r, side), rig_site(r, !side), &now);
}

void rig_down(struct rig *r)
{
    for (unsigned i = 0; i < r->streams; i++)
        stream_free(&r->stream[i]);
    r->streams = 0;
    for (int i = 0; i < 2; i++) {
        if (r->vici[i] >= 0)
            close(r->vici[i]);
        r->vici[i] = -1;
    }
    lab_down(&r->lab);
    middle_stop(&r->middle);
}

// ---- traffic

// Datagrams for which a socket had no room (RcvbufErrors).
static uint64_t full_sockets(struct rig *r, int side)
{
    char out[64] = "";
    sh_read(out, sizeof(out), "nsenter --net=%s awk '/^Udp:/ && ++n == 2 {print $6}' /proc/net/snmp",
            rig_site(r, side)->ns);
    return strtoull(out, NULL, 10);
}

bool rig_flow_start(struct rig *r, unsigned per_second, unsigned seconds)
{
    r->streams = 2 * children(r);
    for (int i = 0; i < 2; i++)
        r->full_before[i] = full_sockets(r, i);
    for (unsigned i = 0; i < r->streams; i++) {
        r->stream[i] = (struct stream){.from = rig_site(r, i % 2),
                                       .to = rig_site(r, !(i % 2)),
                                       .child = i / 2,
                                       .index = i / 2,
                                       .count = children(r),
                                       .per_second = per_second / children(r),
                                       .capacity = (per_second / children(r) + 1) * (seconds + 1)};
        if (!stream_start(&r->stream[i]))
            return false;
    }
    return true;
}

static void add_account(struct flow_report *f, const struct stream_account *a)
{
    f->sent += a->sent;
    f->lost += a->lost;
    f->repeated += a->repeated;
    f->overtaken += a->overtaken;
    f->wrong += a->wrong;
    f->refused += a->refused;
    f->overflows += a->overflows;
    f->max_gap_us = a->max_gap_us > f->max_gap_us ? a->max_gap_us : f->max_gap_us;
    f->late_us = a->late_us > f->late_us ? a->late_us : f->late_us;
}

static void add_blame(struct ledger_losses *to, const struct ledger_losses *l)
{
    to->sender += l->sender;
    to->early += l->early;
    to->link += l->link;
    to->receiver += l->receiver;
    to->ended += l->ended;
}

static bool judge_wire(struct rig *r, struct flow_report *f)
{
    struct capture_log ends[2];
    bool ok = true;
    for (int i = 0; i < 2; i++)
        ok = capture_read(&ends[i], rig_site(r, i), r->pcap[i]) && ok;
    for (unsigned i = 0; ok && i < r->streams; i++) {
        struct ledger_losses l;
        ok = ledger_attribute(&r->stream[i], ends, &l);
        add_blame(&f->blame[i % 2], &l);
    }
    for (int i = 0; i < 2; i++) {
        for (int from = 0; from < 2; from++)
            if (ends[i].clear[from] > f->clear[from])
                f->clear[from] = ends[i].clear[from];
        f->wire_repeated += capture_repeated(&ends[i], i == EAST);
        f->spis[i] = capture_spis(&ends[i], i == EAST);
    }
    f->init = capture_requests(&ends[WEST], EXCHANGE_SA_INIT);
    f->auth = capture_requests(&ends[WEST], EXCHANGE_AUTH);
    f->create_child = capture_requests(&ends[WEST], EXCHANGE_CREATE_CHILD);
    f->informational = capture_requests(&ends[WEST], EXCHANGE_INFORMATIONAL);
    for (int i = 0; i < 2; i++)
        capture_free(&ends[i]);
    return ok;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// The kernel counts what came in clear and met a policy that blocks it as dropped by the socket, too.
static void tell_apart(struct flow_report *f)
{
    for (int i = 0; i < 2; i++) {
        uint64_t blocked = rig_is_charon(i) ? least(f->over[i], f->clear[i]) : 0;
        f->over[i] -= blocked;
        f->overflows -= blocked;
        f->full[!i] -= least(f->full[!i], f->over[i]);
    }
}

bool rig_flow_stop(struct rig *r, struct flow_report *f)
{
    bool ok = true;
    memset(f, 0, sizeof(*f));
    for (unsigned i = 0; i < r->streams; i++)
        stream_quit(&r->stream[i]);
    for (unsigned i = 0; i < r->streams; i++) {
        struct stream_account a;
        ok = stream_stop(&r->stream[i], &a) && ok;
        add_account(f, &a);
        f->over[i % 2] += a.overflows;
    }
    for (int i = 0; i < 2; i++)
        f->full[i] += full_sockets(r, i) - r->full_before[i];
    for (int i = 0; i < 2; i++)
        ok = capture_stop(rig_site(r, i)) && ok;
    ok = ok && judge_wire(r, f);
    tell_apart(f);
    return ok;
}

void flow_print(const char *what, const struct flow_report *f)
{
    printf(
        "  %s: sent %llu, lost %llu, repeated %llu, overtaken %llu, longest gap %.1f ms (sender late by up "
        "to %.1f "
        "ms); SPIs %llu + %llu; IKE_SA_INIT %llu, IKE_AUTH %llu, CREATE_CHILD_SA %llu, INFORMATIONAL %llu\n",
        what, (unsigned long long)f->sent, (unsigned long long)f->lost, (unsigned long long)f->repeated,
        (unsigned long long)f->overtaken, (double)f->max_gap_us / 1e3, (double)f->late_us / 1e3,
        (unsigned long long)f->spis[0], (unsigned long long)f->spis[1], (unsigned long long)f->init,
        (unsigned long long)f->auth, (unsigned long long)f->create_child,
        (unsigned long long)f->informational);
    fflush(stdout);
}

static bool none(uint64_t n, const char *what)
{
    return n == 0 || complain("%llu %s", (unsigned long long)n, what);
}

// What a charon sends in clear, without an SA, is its own doing; what an espalierd makes of it is not. None
// of it is an ESP packet that the link could have lost.
static uint64_t excused_in_clear(const struct flow_report *f, int from)
{
    const struct ledger_losses *l = &f->blame[from];
    bool excused = rig_is_charon(from) && !rig_is_charon(!from);
    return excused ? least(l->sender + l->early + l->receiver + l->ended, f->clear[from]) : 0;
}

static bool nothing_in_clear(const struct flow_report *f, int from)
{
    uint64_t excused = excused_in_clear(f, from);
    if (excused)
        printf("  %llu packets of the inner networks in clear from %s's charon, which were not let in\n",
               (unsigned long long)excused, from == WEST ? "west" : "east");
    return none(f->clear[from] - excused, "packets of the inner networks in clear");
}

bool flow_is_clean(const struct flow_report *f)
{
    bool ok = none(f->overflows, "packets overflowed the laboratory's own sockets: this run says nothing");
    uint64_t excused = 0;
    for (int i = 0; i < 2; i++) {
        const struct ledger_losses *l = &f->blame[i];
        const char *from = i == WEST ? "west" : "east", *to = i == WEST ? "east" : "west";
        if (l->sender + l->early + l->link + l->receiver + l->ended)
            complain("%s -> %s: lost by %s (%s) %llu, sent too early by it %llu, by the link %llu, by %s "
                     "(%s) %llu, which had ended the SA "
                     "%llu more",
                     from, to, from, rig_is_charon(i) ? "charon" : "espalierd", (unsigned long long)l->sender,
                     (unsigned long long)l->early, (unsigned long long)l->link, to,
                     rig_is_charon(!i) ? "charon" : "espalierd", (unsigned long long)l->receiver,
                     (unsigned long long)l->ended);
    }
    for (int i = 0; i < 2; i++) {
        uint64_t at_charon = rig_is_charon(i) ? f->blame[!i].receiver : 0;
        excused += at_charon < f->full[i] ? at_charon : f->full[i];
        excused += rig_is_charon(i) && rig_is_charon(!i) ? f->blame[i].early : 0;
        excused += rig_is_charon(i) ? f->blame[!i].ended : 0;
        excused += excused_in_clear(f, i);
        if (f->full[i])
            printf("  %llu datagrams found %s's socket full\n", (unsigned long long)f->full[i],
                   i == WEST ? "west" : "east");
    }
    ok = none(f->lost - excused, "numbers lost") && ok;
    ok = none(f->repeated, "numbers came more than once") && ok;
    ok = none(f->wrong, "packets with another content") && ok;
    ok = none(f->refused, "packets refused by the sender's own kernel") && ok;
    ok = none(f->wire_repeated, "ESP packets with a SPI and sequence seen before") && ok;
    ok = nothing_in_clear(f, WEST) && ok;
    return nothing_in_clear(f, EAST) && ok;
}

// ---- SAs

bool rig_sas(struct rig *r, int side, struct vici_sas *sas)
{
    return vici_list_sas(r->vici[side], sas) ||
           complain("%s does not answer list-sas", rig_site(r, side)->name);
}

const struct vici_child *installed(const struct vici_sas *sas, const char *child)
{
    const struct vici_child *found = NULL;
    for (unsigned i = 0; i < sas->children_count; i++) {
        const struct vici_child *c = &sas->child[i];
        if (strcmp(c->name, child) != 0 || strcmp(c->state, "INSTALLED") != 0)
            continue;
        if (found)
            return NULL;
        found = c;
    }
    return found;
}

static bool on_its_way_out(const char *state)
{
    return !strcmp(state, "DELETED") || !strcmp(state, "DELETING") || !strcmp(state, "REKEYED");
}

// Without the CHILD SAs that were replaced, of what a daemon says; at rest only those that charon itself
// calls deleted, which it sometimes keeps for long after both ends were done with them.
static void forget_replaced(struct vici_sas *sas, bool running)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < sas->children_count; i++)
        if (running ? !on_its_way_out(sas->child[i].state) : strcmp(sas->child[i].state, "DELETED") != 0)
            sas->child[kept++] = sas->child[i];
    sas->children_count = kept;
}

static bool agree(struct rig *r, const struct vici_sas at[2])
{
    const struct vici_sas *w = &at[WEST], *e = &at[EAST];
    for (int i = 0; i < 2; i++)
        if (at[i].count != 1 || at[i].children_count != children(r) ||
            strcmp(at[i].sa[0].state, "ESTABLISHED") != 0)
            return false;
    if (w->sa[0].spi_i != e->sa[0].spi_i || w->sa[0].spi_r != e->sa[0].spi_r)
        return false;
    for (unsigned n = 0; n < children(r); n++) {
        const struct vici_child *a = installed(w, child_name(n)), *b = installed(e, child_name(n));
        if (!a || !b || a->spi_in != b->spi_out || a->spi_out != b->spi_in)
            return false;
    }
    return true;
}

static void print_sas(const char *who, const struct vici_sas *sas)
{
    fprintf(stderr, "    %s has %u IKE SAs and %u CHILD SAs\n", who, sas->count, sas->children_count);
    for (unsigned i = 0; i < sas->count; i++) {
        const struct vici_sa *sa = &sas->sa[i];
        fprintf(stderr, "      IKE SA %u %s %016llx %016llx\n", sa->id, sa->state,
                (unsigned long long)sa->spi_i, (unsigned long long)sa->spi_r);
        for (unsigned k = sa->first; k < sa->first + sa->count && k < sas->children_count; k++)
            fprintf(stderr, "        %s %s in %08x out %08x\n", sas->child[k].name, sas->child[k].state,
                    sas->child[k].spi_in, sas->child[k].spi_out);
    }
}

static bool wait_until_agreed(struct rig *r, struct vici_sas at[2], bool running)
{
    static struct vici_sas own[2];
    uint64_t end = mono_us() + REST_MS * 1000;
    at = at ? at : own;
    do {
        if (!rig_sas(r, WEST, &at[WEST]) || !rig_sas(r, EAST, &at[EAST]))
            return false;
        for (int i = 0; i < 2; i++)
            if (running || rig_is_charon(i))
                forget_replaced(&at[i], running);
        if (agree(r, at))
            return true;
        usleep(50000);
    } while (mono_us() < end);
    print_sas("west", &at[WEST]);
    print_sas("east", &at[EAST]);
    return complain("after %d s the ends do not agree on one IKE SA and %u CHILD SAs", REST_MS / 1000,
                    children(r));
}

bool rig_at_rest(struct rig *r, struct vici_sas at[2])
{
    return wait_until_agreed(r, at, false);
}

bool rig_in_service(struct rig *r, struct vici_sas at[2])
{
    return wait_until_agreed(r, at, true);
}

// ---- rekeying

bool rig_ask(struct rig *r, int side, enum rekey what, unsigned child)
{
    int fd = r->vici[side];
    return what == REKEY_CHILD ? vici_ask(fd, "rekey", "child", child_name(child), NULL)
           : what == REKEY_IKE ? vici_ask(fd, "rekey", "ike", "site", NULL)
                               : vici_ask(fd, "rekey", "ike", "site", "reauth", "yes", NULL);
}

bool rig_answer(struct rig *r, int side)
{
    char why[256];
    return vici_answer(r->vici[side], why, sizeof(why)) ||
           complain("%s: rekey: %s", rig_site(r, side)->name, why);
}

bool rig_both(struct rig *r, enum rekey west, enum rekey east, unsigned child)
{
    bool ok = rig_ask(r, WEST, west, child) && rig_ask(r, EAST, east, child);
    return rig_answer(r, WEST) && rig_answer(r, EAST) && ok;
}

static uint64_t mark(const struct vici_sas *sas, enum rekey what, unsigned child)
{
    const struct vici_child *c = installed(sas, child_name(child));
    if (what == REKEY_CHILD)
        return c ? c->spi_in : 0;
    return sas->count == 1 && strcmp(sas->sa[0].state, "ESTABLISHED") == 0 ? sas->sa[0].spi_i : 0;
}

// The mark of the one SA there, another one than `but`; 0: none came. A peer's DELETE of the one before may
// be on its way yet.
static uint64_t await_mark(struct rig *r, int side, enum rekey what, unsigned child, uint64_t but)
{
    static struct vici_sas sas;
    uint64_t end = mono_us() + REKEY_MS * 1000;
    do {
        uint64_t now = rig_sas(r, side, &sas) ? mark(&sas, what, child) : 0;
        if (now && now != but)
            return now;
        usleep(10000);
    } while (mono_us() < end);
    print_sas(rig_site(r, side)->name, &sas);
    return 0;
}

bool rig_rekey(struct rig *r, int side, enum rekey what, unsigned child)
{
    uint64_t before = await_mark(r, side, what, child, 0);
    if (!before)
        return complain("%s has not just one SA to rekey", rig_site(r, side)->name);
    if (!rig_ask(r, side, what, child) || !rig_answer(r, side))
        return false;
    return await_mark(r, side, what, child, before) ||
           complain("%s: nothing was rekeyed within %d s", rig_site(r, side)->name, REKEY_MS / 1000);
}
