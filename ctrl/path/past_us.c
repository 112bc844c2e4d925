// SPDX-License-Identifier: Apache-2.0
// Packets that the TUN brought although no policy protects them (bypass, or no policy at all): the kernel
// routes them once more, past our rules, by a raw socket with our mark. That socket is exempt from the block
// policies, so the SPD is asked again, with nothing remembered, right before sending; of an ICMP error also
// about the packet that it quotes. While policies are missing that are loaded, nothing goes on. What cannot
// go on is answered by ICMP "administratively prohibited" (RFC 4301 section 6.2), at a bounded rate.
#include <errno.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/icmp.h"

void past_us(struct worker *w, const uint8_t *packet, uint32_t len)
{
    struct fields f;
    struct policy *pol = NULL;
    if (!fields_parse(packet, len, &f) || icmp_of_one_link(f.dst, f.family) ||
        icmp_of_one_link(f.src, f.family)) {
        w->drop_out[ESP_STATUS_POLICY]++;
        return;
    }
    enum spd_verdict v = look_up_afresh(w, &f, false, &pol);
    bool open = !w->p->lacks && (v == SPD_NONE || (v == SPD_FOUND && pol->action == POLICY_BYPASS));
    if (!open || icmp_quotes_protected(w, packet, len, &f)) {
        w->drop_out[ESP_STATUS_POLICY]++;
        return;
    }
    int rc = w->net.past ? w->net.past(w->net.ctx, packet, len) : -EOPNOTSUPP;
    if (rc >= 0) {
        w->past_us++;
        return;
    }
    if (w->past_us_refused++ % 1000 == 0)
        LOGF(NET, 1, "a packet that no policy protects cannot go on: %s", strerror(-rc));
    icmp_prohibited(w, packet, len, &f);
}
