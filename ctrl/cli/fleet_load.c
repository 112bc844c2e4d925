// SPDX-License-Identifier: Apache-2.0
// `espalier fleet load`: the connections of a swanctl.conf become the fleet's, as a generation of their own
// that one change of one key puts in the place of the one before. Credentials are not sent.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "ctrl/cli/fleet.h"
#include "ctrl/cli/json.h"
#include "ctrl/cli/load.h"
#include "ctrl/config/conn_load.h"
#include "ctrl/config/in_clear.h"

enum { AT_ONCE = 32 }; // connections of one transaction: etcd takes 1.5 MiB

// Behind the frame's length, the packet's kind and the command's name.
static struct slice message_of(const struct load_item *i)
{
    size_t head = 4 + 1 + 1 + strlen("load-conn");
    return slice_of(i->request.data + head, i->request.len - head);
}

static int check_size(const struct load *l, struct esp_error *err)
{
    size_t all = 0;
    for (const struct load_item *i = l->lists[LOAD_CONN].first; i; i = i->next) {
        all += message_of(i).len;
        if (message_of(i).len > FLEET_CONN_MOST)
            return esp_fail(err, -E2BIG, i->name,
                            "it has %zu octets with its certificates: the fleet takes %d", message_of(i).len,
                            FLEET_CONN_MOST);
    }
    if (all > FLEET_OCTETS_MOST)
        return esp_fail(err, -E2BIG, "connections", "they have %zu octets: the fleet takes %d", all,
                        FLEET_OCTETS_MOST);
    return l->lists[LOAD_CONN].count <= FLEET_CONNS
               ? 0
               : esp_fail(err, -E2BIG, "connections", "%u: the fleet takes %d", l->lists[LOAD_CONN].count,
                          FLEET_CONNS);
}

// As the nodes will, which have the same settings.
static int check_clear(const struct load_item *i, struct esp_error *err)
{
    struct conn_config c = {0};
    struct vici_msg m;
    struct slice s = message_of(i);
    char why[160];
    int rc = vici_msg_parse(&m, s.p, s.len, err);
    if (rc)
        return rc;
    rc = config_load_conn(&c, m.root->child, NULL, err); // it has been read once
    if (!rc && conn_in_clear(&c, why, sizeof(why)))
        rc = esp_fail(err, -EINVAL, i->name, "%s: espalierd.fleet.allow_clear does not allow that", why);
    conn_clear(&c);
    vici_msg_free(&m);
    return rc;
}

static int check_all(const struct load *l, const struct fleet_etcd *e, struct esp_error *err)
{
    int rc = check_size(l, err);
    for (const struct load_item *i = l->lists[LOAD_CONN].first; i && !rc && !fleet_etcd_allows_clear(e);
         i = i->next)
        rc = check_clear(i, err);
    return rc;
}

static int put_some(struct fleet_etcd *e, const char *part, const struct load_item **at,
                    struct esp_error *err)
{
    char key[AT_ONCE][512];
    struct etcd_op op[AT_ONCE];
    size_t n = 0, octets = 0;
    for (; *at && n < AT_ONCE && octets < (512u << 10); *at = (*at)->next, n++) {
        struct slice m = message_of(*at);
        op[n] = (struct etcd_op){.change = ETCD_PUT,
                                 .key = fleet_etcd_key(e, key[n], part, (*at)->name),
                                 .value = m.p,
                                 .len = m.len};
        octets += m.len;
    }
    return fleet_etcd_txn(e, NULL, 0, op, n, err);
}

static int put_all(struct fleet_etcd *e, const char *part, const struct load *l, struct esp_error *err)
{
    const struct load_item *at = l->lists[LOAD_CONN].first;
    int rc = 0;
    while (at && !rc)
        rc = put_some(e, part, &at, err);
    return rc;
}

static void remove_generation(struct fleet_etcd *e, const char *generation, struct esp_error *err)
{
    char part[80], key[512];
    snprintf(part, sizeof(part), "conns/%s/", generation);
    const struct etcd_op op = {.change = ETCD_DELETE_PREFIX, .key = fleet_etcd_key(e, key, part, "")};
    fleet_etcd_txn(e, NULL, 0, &op, 1, err);
}

// What every node looks at. It is still that which was read, or nothing is changed.
static int make_current(struct fleet_etcd *e, const struct fleet_current *was, const char *generation,
                        unsigned count, struct esp_error *err)
{
    char key[512];
    json_t *o =
        json_pack("{s:i, s:s, s:s, s:i, s:I}", "schema", FLEET_SCHEMA, "generation", generation, "before",
                  was->generation, "connections", (int)count, "loaded", (json_int_t)time(NULL));
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    const struct etcd_compare same = {.key = fleet_etcd_key(e, key, "current", ""), .revision = was->changed};
    const struct etcd_op put = {
        .change = ETCD_PUT, .key = key, .value = text, .len = text ? strlen(text) : 0};
    int rc = text ? fleet_etcd_txn(e, &same, 1, &put, 1, err) : esp_fail(err, -ENOMEM, "", "out of memory");
    json_decref(o);
    free(text);
    return rc;
}

static int send_all(struct fleet_etcd *e, const struct load *l, char generation[17], struct esp_error *err)
{
    struct fleet_current was;
    struct esp_error unused = {0};
    uint64_t random = 0;
    char part[80];
    int rc = fleet_etcd_current(e, &was, err);
    if (!rc && getrandom(&random, sizeof(random), 0) != sizeof(random))
        rc = esp_fail(err, -EIO, "", "no random octets");
    snprintf(generation, 17, "%016" PRIx64, random);
    snprintf(part, sizeof(part), "conns/%s/", generation);
    if (rc)
        return rc;
    rc = put_all(e, part, l, err);
    if (!rc)
        rc = make_current(e, &was, generation, l->lists[LOAD_CONN].count, err);
    if (rc)
        remove_generation(e, generation, &unused);
    else if (was.before[0]) // the one that was current may be being read
        remove_generation(e, was.before, &unused);
    return rc;
}

static void tell(struct cli *cli, const struct load *l, const char *generation)
{
    unsigned conns = l->lists[LOAD_CONN].count, own = l->lists[LOAD_SHARED].count + l->lists[LOAD_KEY].count,
             others = l->lists[LOAD_CERT].count + l->lists[LOAD_AUTHORITY].count + l->lists[LOAD_POOL].count;
    if (cli_given(cli, CLI_JSON)) {
        json_put(cli, json_pack("{s:s, s:i, s:i, s:i}", "generation", generation, "connections", (int)conns,
                                "secrets-not-sent", (int)own, "others-not-sent", (int)others));
        return;
    }
    fprintf(cli->out, "%u connection%s: generation %s, which each node takes at once\n", conns,
            conns == 1 ? "" : "s", generation);
    if (own || others)
        fprintf(cli->out,
                "%u secrets and private keys, and %u certificates, authorities and pools beside them, are "
                "not sent: "
                "each node loads its own\n",
                own, others);
}

int fleet_load(struct cli *cli, struct fleet_etcd *e, const char *file)
{
    struct load l = {.cli = cli};
    struct esp_error err = {0};
    char generation[17];
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); // it holds secrets
    int rc = load_read(&l, file);
    if (rc == -EINVAL)
        esp_fail(&err, rc, "", "%u fault%s: nothing is loaded, and what was stays", l.faults,
                 l.faults == 1 ? "" : "s");
    else if (rc)
        esp_fail(&err, rc, "", "out of memory");
    if (!rc)
        rc = check_all(&l, e, &err);
    if (!rc)
        rc = send_all(e, &l, generation, &err);
    if (!rc)
        tell(cli, &l, generation);
    load_free(&l);
    return rc ? cli_fail(cli, rc, &err) : CLI_DONE;
}
