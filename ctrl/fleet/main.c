// SPDX-License-Identifier: Apache-2.0
// The fleet process: it serves, with what rights the supervisor has left it.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/fleet/etcd_http.h"
#include "ctrl/fleet/fleet.h"
#include "ctrl/fleet/tls_file.h"
#include "ctrl/lib/log.h"

enum { JITTER_MS = 500 };

static void to_ctl(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                   const char *text)
{
    ipc_log(fleet_channel(ctx, ROOM_CTL), s, level, ike_name, ike_id, text);
}

static void configure(struct fleet_config *c, const struct settings *s)
{
    *c = (struct fleet_config){.ttl = s->fleet_ttl, .jitter_ms = JITTER_MS};
    snprintf(c->prefix, sizeof(c->prefix), "%s", s->fleet_prefix);
    snprintf(c->node, sizeof(c->node), "%s", s->fleet_node);
    if (!c->node[0] && gethostname(c->node, sizeof(c->node) - 1) < 0)
        snprintf(c->node, sizeof(c->node), "unnamed");
}

static struct etcd *reach(struct loop *l, const struct child_env *env)
{
    struct tls_files t;
    struct esp_error err = {0};
    int rc = tls_files_take(&t, env->fleet_tls);
    close(env->fleet_tls);
    if (rc) {
        LOGF(DMN, 0, "what it speaks TLS with cannot be read: %s", strerror(-rc));
        return NULL;
    }
    const struct etcd_http_config c = {.endpoints = env->settings->fleet_endpoints,
                                       .ca = t.ca,
                                       .cert = t.cert,
                                       .key = t.key,
                                       .timeout_ms = env->settings->fleet_ttl * 1000 / 4};
    struct etcd *e = etcd_http_new(l, &c, &err);
    tls_files_free(&t);
    if (!e)
        LOGF(DMN, 0, "%s: %s", err.field, err.text);
    else if (strstr(env->settings->fleet_endpoints, "http://"))
        LOGF(CFG, 0, "warning: fleet: http:// has neither secrecy nor proof of who etcd is");
    return e;
}

static int serve(struct loop *l, const struct child_env *env, struct fence_page *page)
{
    struct fleet_config c;
    struct etcd *e = reach(l, env);
    configure(&c, env->settings);
    struct fleet *f = e ? fleet_new(l, &c, e, page) : NULL;
    int rc = f ? fleet_attach(f, ROOM_CTL, env->chan[ROOM_CTL]) : -ENOMEM;
    if (!rc)
        rc = fleet_attach(f, ROOM_SUPER, env->chan[ROOM_SUPER]);
    if (!rc) {
        log_set_sink(to_ctl, f);
        ipc_send(fleet_channel(f, ROOM_SUPER), MSG_READY, &(struct msg_READY){.room = ROOM_FLEET});
        rc = loop_run(l);
    }
    log_set_sink(NULL, NULL);
    fleet_free(f);
    return rc;
}

int fleet_main(const struct child_env *env)
{
    log_set_process("fleet");
    struct loop *l = loop_new();
    struct fence_page *page = fence_map(env->fence, true);
    int rc = l && page ? serve(l, env, page) : -errno;
    if (rc)
        LOGF(DMN, 0, "it cannot be set up: %s", strerror(-rc));
    if (l)
        loop_free(l);
    return rc ? 1 : 0;
}
