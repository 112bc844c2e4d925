// SPDX-License-Identifier: Apache-2.0
// An SA is told to the kernel, read back, and taken away. What the kernel has taken other than it was told is
// as good as a refusal, and does not stay there.
#include <errno.h>
#include <net/if.h>
#include <openssl/crypto.h>
#include <string.h>

#include "driver/kernel/kernel.h"

// ---- asking the kernel

int kernel_say(struct kernel_engine *k, struct nlmsghdr *h, const char *field, struct esp_error *err)
{
    char words[XFRM_WORDS];
    int rc = k->link->ops->talk(k->link, h, NULL, NULL, words);

    if (rc)
        return esp_fail(err, rc, field, "the kernel refuses it: %s%s%s", strerror(-rc), words[0] ? ", " : "",
                        words);
    return 0;
}

struct reading {
    const struct nlmsghdr *sent; // NULL: only the counters are wanted
    struct esp_sa *sa;
    bool came;
    int rc;
    enum esp_offload offload;
    struct esp_error why;
};

static void read_sa(void *ctx, const struct nlmsghdr *h)
{
    struct reading *r = ctx;

    if (h->nlmsg_type != XFRM_MSG_NEWSA || r->came)
        return;
    r->came = xfrm_get_stats(h, r->sa->dir, &r->sa->stats);
    if (r->came && r->sent)
        r->rc = xfrm_same_sa(r->sent, h, &r->offload, &r->why);
}

static int read_back(struct kernel_engine *k, struct reading *r)
{
    _Alignas(uint64_t) uint8_t buf[256];
    char words[XFRM_WORDS];
    int rc = k->link->ops->talk(k->link, xfrm_put_id(buf, XFRM_MSG_GETSA, r->sa), read_sa, r, words);

    if (rc == 0 && !r->came)
        rc = -EPROTO;
    if (rc)
        return esp_fail(&r->why, rc, "kernel", "it does not say what it has taken: %s", strerror(-rc));
    return r->rc;
}

int kernel_ask(struct kernel_engine *k, struct esp_sa *sa)
{
    struct reading r = {.sa = sa};

    return read_back(k, &r);
}

int kernel_take_away(struct kernel_engine *k, const struct esp_sa *sa)
{
    _Alignas(uint64_t) uint8_t buf[256];
    int rc = kernel_say(k, xfrm_put_id(buf, XFRM_MSG_DELSA, sa), "kernel", NULL);

    return rc == -ESRCH || rc == -ENOENT ? 0 : rc;
}

// ---- adding

// What a device does is its own to say: a kernel whose device takes no SA for its cipher alone does not
// refuse it, but has it in software.
static int enough(enum esp_offload asked, enum esp_offload got, bool best, const char *device,
                  struct esp_error *why)
{
    if (got == asked || (best && got < asked))
        return 0;
    return esp_fail(why, -EOPNOTSUPP, "offload", "device %s does not offload it: the kernel has it %s",
                    device, got == ESP_OFFLOAD_NONE ? "in software" : "otherwise");
}

static int add_once(struct kernel_engine *k, struct esp_sa *sa, const struct esp_sa_params *p,
                    enum esp_offload offload)
{
    _Alignas(uint64_t) uint8_t buf[XFRM_REQUEST_MAX];
    struct xfrm_wish w = {k->owner, offload, offload ? if_nametoindex(p->device) : 0};
    struct reading r = {.sa = sa};
    int rc;

    if (offload && !w.ifindex)
        return esp_fail(&sa->error, -ENODEV, "device", "there is no network device %s", p->device);
    struct nlmsghdr *h = xfrm_put_sa(buf, p, &w);
    int said = kernel_say(k, h, "kernel", &sa->error);
    bool ours = said == 0;
    rc = said;
    if (said == 0 || said == -ETIMEDOUT) { // it may have been done
        r.sent = h;
        rc = read_back(k, &r);
        ours |= rc == 0;
        k->mismatched += rc == -EPROTO;
        if (rc == 0)
            rc = enough(offload, r.offload, p->offload == ESP_OFFLOAD_AUTO, p->device, &r.why);
        if (rc)
            sa->error = r.why;
        sa->offload = r.offload;
    }
    OPENSSL_cleanse(buf, sizeof(buf));
    if (rc && ours)
        (void)kernel_take_away(k, sa);
    return rc;
}

int kernel_add(struct kernel_engine *k, struct esp_sa *sa, const struct esp_sa_params *p)
{
    static const enum esp_offload order[] = {ESP_OFFLOAD_PACKET, ESP_OFFLOAD_CRYPTO, ESP_OFFLOAD_NONE};
    int rc = -EOPNOTSUPP;

    if (p->offload != ESP_OFFLOAD_AUTO)
        return add_once(k, sa, p, p->offload);
    for (unsigned i = 0; i < 3 && rc && rc != -EEXIST; i++)
        rc = add_once(k, sa, p, order[i]);
    return rc;
}
