// SPDX-License-Identifier: Apache-2.0
// What the daemon says, judged; and a tunnel that is tried, so that a peer's refusal can be explained.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctrl/cli/doctor.h"
#include "ctrl/cli/json.h"
#include "ctrl/cli/pci.h"
#include "ctrl/config/cert_kind.h"
#include "ctrl/pki/pki.h"

enum { SOON_DAYS = 14, DAY_S = 86400, TRY_S = 30 };

// ---- what it is asked for others

static int take_named(void *ctx, const char *event, const struct vici_node *root)
{
    json_t *more = json_named(root);
    if (strncmp(event, "list-", 5) == 0)
        json_array_extend(ctx, more);
    json_decref(more);
    return 0;
}

static json_t *all_of(struct doctor *d, const char *command, const char *event, const char *flag)
{
    json_t *list = json_array();
    int r = talk_register(d->cli->talk, event, NULL);
    if (r == 0)
        r = cli_list(d->cli, command, take_named, list, "ike", NULL, flag, NULL);
    if (r == 0)
        return list;
    json_decref(list);
    return NULL;
}

static void learn_pids(struct doctor *d)
{
    struct vici_msg reply;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "stats");
    d->pids[d->pid_count++] = talk_pid(d->cli->talk); // charon has no other
    if (talk_ask_ok(d->cli->talk, &o, &reply, NULL) != 0)
        return;
    const struct vici_node *p = vici_find(reply.root, "processes");
    for (const struct vici_node *k = p ? p->child : NULL; k && d->pid_count < DOCTOR_PIDS; k = k->next)
        d->pids[d->pid_count++] = (pid_t)vici_get_num(p, k->name, 0);
    vici_msg_free(&reply);
}

void doctor_learn(struct doctor *d)
{
    learn_pids(d);
    d->conns = all_of(d, "list-conns", "list-conn", NULL);
    d->sas = all_of(d, "list-sas", "list-sa", "noblock");
}

// ---- certificates

static void judge_cert(struct doctor *d, const struct pki_info *i, bool ours)
{
    static const char mend[] = "renew it, put it into its directory, and espalier load";
    const char *why = ours ? "the peer refuses it" : "peers whose certificates it issued are refused";
    int64_t now = time(NULL), left = i->not_after - now;
    if (left < 0)
        doctor_find(d, ours ? WRONG : NOTE, why, mend, "the certificate of %s has expired", i->subject);
    else if (i->not_before > now)
        doctor_find(d, ours ? WRONG : NOTE, why, "look at the clock: date",
                    "the certificate of %s is not valid yet", i->subject);
    else if (left < SOON_DAYS * (int64_t)DAY_S)
        doctor_find(d, NOTE, why, mend, "the certificate of %s expires in %lld days", i->subject,
                    (long long)(left / DAY_S));
}

static int take_cert(void *ctx, const char *event, const struct vici_node *root)
{
    const struct vici_node *data = vici_find(root, "data");
    const char *warning, *type = vici_get(root, "type");
    struct pki_info info;
    uint8_t kind;
    if (strcmp(event, "list-cert") != 0 || !data ||
        cert_kind(type, vici_get(root, "flag"), &kind, &warning, NULL) != 0 ||
        (kind != PKI_X509 && kind != PKI_CA))
        return 0;
    if (pki_describe((enum pki_kind)kind, slice_of(data->value, data->len), &info, NULL) == 0)
        judge_cert(ctx, &info, vici_get_yes(root, "has_privkey", false));
    return 0;
}

void doctor_certificates(struct doctor *d)
{
    if (talk_register(d->cli->talk, "list-cert", NULL) == 0)
        cli_list(d->cli, "list-certs", take_cert, d, "type", "x509", NULL, NULL);
}

// ---- tunnels that are to be up

static bool is_up(const struct doctor *d, const char *conn, const char *child)
{
    size_t i, k;
    json_t *sa, *c;
    json_array_foreach(d->sas, i, sa)
    {
        if (strcmp(json_string_value(json_object_get(sa, "name")), conn) != 0)
            continue;
        json_array_foreach(json_object_get(sa, "child-sas"), k, c)
        {
            if (strcmp(json_string_value(json_object_get(c, "name")), child) == 0)
                return true;
        }
    }
    return false;
}

void doctor_tunnels(struct doctor *d)
{
    size_t i, k;
    json_t *conn, *child;
    char mend[300];
    json_array_foreach(d->conns, i, conn)
    {
        const char *name = json_string_value(json_object_get(conn, "name"));
        json_array_foreach(json_object_get(conn, "children"), k, child)
        {
            const char *of = json_string_value(json_object_get(child, "name"));
            const char *start = json_string_value(json_object_get(child, "start_action"));
            if (!start || !strstr(start, "start") || is_up(d, name, of))
                continue;
            snprintf(mend, sizeof(mend), "espalier doctor %.100s/%.100s tries it and says what the peer says",
                     name, of);
            doctor_find(d, WRONG, "its traffic is blocked until it is", mend,
                        "%.100s/%.100s is to be up (start_action = %.20s), and is not", name, of, start);
        }
    }
}

// ---- the card

static bool uses_card(struct doctor *d)
{
    struct vici_msg reply;
    struct vici_out o;
    if (!d->daemon)
        return false;
    vici_out_begin(&o, VICI_CMD_REQUEST, "get-counters");
    if (talk_ask_ok(d->cli->talk, &o, &reply, NULL) != 0) // which frees the question
        return false;
    bool uses = vici_get_num(vici_find(vici_find(reply.root, "counters"), ""), "card_present", 0) > 0;
    vici_msg_free(&reply);
    return uses;
}

static void judge_card(struct doctor *d, const struct pci_card *c, bool used)
{
    static const char why[] = "SAs go to software meanwhile";
    char mend[300];
    snprintf(mend, sizeof(mend), "modprobe vfio-pci; espalier card bind %s", c->name);
    if (c->simulated)
        return;
    if (c->group < 0)
        doctor_find(d, WRONG, why,
                    "switch the IOMMU on in the firmware, and on the kernel's command line (intel_iommu=on)",
                    "the card %s is in no IOMMU group", c->name);
    else if (strcmp(c->driver, "vfio-pci") != 0)
        doctor_find(d, WRONG, why, mend,
                    "the card %s is there and bound to %s, where the daemon wants vfio-pci", c->name,
                    c->driver[0] ? c->driver : "no driver");
    else if (!used && d->daemon)
        doctor_find(d, NOTE, why, "look at espalierd's option --card, and at what its log says of the card",
                    "the card %s is ready, and the daemon does not use it", c->name);
}

void doctor_card(struct doctor *d)
{
    struct pci_card cards[PCI_CARDS];
    int n = pci_cards(cards, d->cli->value[CLI_PCI_SYSFS], NULL);
    bool used = n > 0 && uses_card(d);
    for (int i = 0; i < n; i++)
        judge_card(d, &cards[i], used);
}

// ---- a peer's refusal

static const struct {
    const char *said, *what, *why, *mend;
} refusals[] = {
    {"NO_PROPOSAL_CHOSEN", "the peer accepts none of our proposals, or has no connection for these addresses",
     "both ends have to have one set of algorithms in common, or the peer does not know us",
     "compare proposals (IKE) and esp_proposals (ESP) of both ends, and remote_addrs at the peer; its log "
     "names what it was offered"},
    {"AUTHENTICATION_FAILED", "the peer does not believe that we are who we say",
     "it has another secret or certificate for our identity, or no connection for it",
     "compare id of local here with id of remote there, and the secret at both ends; its log says which it "
     "is"},
    {"no shared key found", "there is no pre-shared key for these two identities",
     "we cannot prove who we are",
     "secrets { ike-1 { id-1 = OURS id-2 = THE PEER'S secret = ... } }, then espalier load"},
    {"no private key found", "there is no private key for our certificate or identity",
     "we cannot prove who we are",
     "put the key into private/ beside swanctl.conf, then espalier load; espalier certs marks what has one"},
    {"TS_UNACCEPTABLE", "the peer does not take our traffic selectors",
     "local_ts and remote_ts here have to be its remote_ts and local_ts, or lie within them",
     "compare local_ts and remote_ts of both ends"},
    {"INTERNAL_ADDRESS_FAILURE", "the peer has no virtual address for us",
     "its pool is used up, or it has none", "at the peer: espalier pools --leases"},
    {"FAILED_CP_REQUIRED", "the peer wants us to ask for a virtual address",
     "its connection is one for road warriors", "vips = 0.0.0.0 in our connection"},
    {"INVALID_SYNTAX", "the peer could not read our message", "often the pre-shared keys differ",
     "compare the secret at both ends; the peer's log says what it could not read"},
    {"not responding", "the peer does not answer",
     "it is not there, or something between drops UDP 500 and 4500",
     "tcpdump -ni any 'udp port 500 or udp port 4500' at both ends while this runs"},
    {"giving up after", "the peer does not answer",
     "it is not there, or something between drops UDP 500 and 4500",
     "tcpdump -ni any 'udp port 500 or udp port 4500' at both ends while this runs"},
    {"certificate", "a certificate is refused",
     "the other end's chain does not lead to a CA that is trusted, or is not valid",
     "espalier certs; the line below says which certificate and why"},
    {"retransmit", "the peer has not answered in time",
     "it is not there, or something between drops UDP 500 and 4500",
     "tcpdump -ni any 'udp port 500 or udp port 4500' at both ends while this runs"},
};
enum { REFUSALS = sizeof(refusals) / sizeof(refusals[0]) };

struct trial {
    int meaning;    // of refusals; REFUSALS: none yet
    char said[300]; // the line that it was found in, or the last
};

static int take_line(void *ctx, const char *event, const struct vici_node *root)
{
    struct trial *t = ctx;
    const char *msg = vici_get(root, "msg");
    if (strcmp(event, "control-log") != 0 || !msg)
        return 0;
    for (int i = 0; i < t->meaning; i++) { // those that come first say more
        if (strstr(msg, refusals[i].said) && !strstr(msg, "successful")) {
            t->meaning = i;
            snprintf(t->said, sizeof(t->said), "%s", msg);
        }
    }
    return 0;
}

static void explain(struct doctor *d, const char *name, struct trial *t, int r, const struct esp_error *err)
{
    const char *errmsg = r == -EREMOTEIO ? talk_refusal(d->cli->talk) : err->text;
    for (int i = 0; i < t->meaning; i++)
        if (strstr(errmsg, refusals[i].said))
            t->meaning = i;
    if (t->meaning == REFUSALS)
        doctor_find(d, WRONG, "the tunnel does not come up",
                    "espalier up with --level 2 shows more; so does the peer's log", "%.150s: %s", name,
                    errmsg);
    else
        doctor_find(d, WRONG, refusals[t->meaning].why, refusals[t->meaning].mend, "%.150s: %s (%s)", name,
                    refusals[t->meaning].what, t->said[0] ? t->said : errmsg);
}

static void try_one(struct doctor *d, const char *name)
{
    struct trial t = {.meaning = REFUSALS};
    struct vici_msg reply;
    struct vici_out o;
    struct esp_error err = {0};
    const char *slash = strchr(name, '/');
    char conn[256] = "";
    if (slash)
        snprintf(conn, sizeof(conn), "%.*s", (int)(slash - name), name);
    vici_out_begin(&o, VICI_CMD_REQUEST, "initiate");
    vici_put(&o, "child", slash ? slash + 1 : name);
    if (conn[0])
        vici_put(&o, "ike", conn);
    vici_putf(&o, "timeout", "%u", 1000u * (unsigned)cli_number(d->cli, CLI_TIMEOUT, TRY_S));
    vici_put(&o, "loglevel", "1");
    int r = talk_ask_while(d->cli->talk, &o, take_line, &t, &reply, &err);
    if (r)
        explain(d, name, &t, r, &err);
    else
        vici_msg_free(&reply);
}

void doctor_peer(struct doctor *d)
{
    talk_register(d->cli->talk, "control-log", NULL);
    for (unsigned i = 0; i < d->cli->operands; i++)
        try_one(d, d->cli->operand[i]);
}
