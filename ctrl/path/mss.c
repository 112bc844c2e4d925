// SPDX-License-Identifier: Apache-2.0
// See mtu.h: the maximum segment size that a TCP SYN announces (RFC 9293 section 3.7.1, RFC 6691).
#include <netinet/in.h>
#include <string.h>

#include "ctrl/path/gso_sum.h"
#include "ctrl/path/mtu.h"

enum { TCP_HEADER = 20, SYN = 2, END = 0, NOP = 1, MSS = 2 };

// Where TCP begins, 0: it is none, or not its first fragment.
static uint32_t tcp_at(const uint8_t *p, uint32_t len)
{
    uint32_t at = len >= 20 && p[0] >> 4 == 4 ? 4u * (p[0] & 15) : 40;
    if (len < at + TCP_HEADER || at < 20)
        return 0;
    if (p[0] >> 4 == 4)
        return p[9] == IPPROTO_TCP && !(get16(p + 6) & 0x1fff) ? at : 0;
    return p[0] >> 4 == 6 && p[6] == IPPROTO_TCP ? at : 0;
}

// RFC 1624. Where the number stands at an odd octet it is the words of its two halves that change.
static void change(uint8_t *tcp, uint32_t at, uint32_t value)
{
    uint32_t old = get16(tcp + at), now = value;
    put16(tcp + at, value);
    if (at & 1) {
        old = (old & 255) << 8 | old >> 8;
        now = (now & 255) << 8 | now >> 8;
    }
    uint32_t sum = (uint32_t)(uint16_t)~get16(tcp + 16) + (uint16_t)~old + now;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(tcp + 16, (uint16_t)~sum);
}

bool mss_is_syn(const uint8_t *p, uint32_t len)
{
    uint32_t at = tcp_at(p, len);
    return at && (p[at + 13] & SYN);
}

bool mss_clamp(uint8_t *p, uint32_t len, uint32_t mtu)
{
    uint32_t at = tcp_at(p, len), headers = (p[0] >> 4 == 4 ? 20 : 40) + TCP_HEADER;
    if (!mss_is_syn(p, len) || mtu <= headers)
        return false;
    uint8_t *tcp = p + at;
    uint32_t end = 4u * (tcp[12] >> 4), most = mtu - headers;
    if (end > len - at)
        return false;
    for (uint32_t i = TCP_HEADER; i < end && tcp[i] != END;) {
        uint32_t n = tcp[i] == NOP ? 1 : i + 1 < end ? tcp[i + 1] : 0;
        if (!n || n > end - i || (tcp[i] != NOP && n < 2))
            return false;
        if (tcp[i] == MSS && n == 4) {
            if (get16(tcp + i + 2) <= most)
                return false;
            change(tcp, i + 2, most);
            return true;
        }
        i += n;
    }
    return false;
}
