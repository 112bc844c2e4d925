// SPDX-License-Identifier: Apache-2.0
// A bound on what strangers write into the log. While a datagram that nobody has vouched for yet is at work,
// each line takes a token of its source's bucket (an IPv4 /24 or an IPv6 /56, by a salted hash into a fixed
// table) and one of all strangers' together; without both it is left out. What was left out is told in one
// line a second at most.
//
//   log_limit_begin(&l, &from);
//   ... LOGF ...
//   log_limit_pardon(&l);   // as soon as the sender has proved who he is: his lines were no stranger's
//   ... LOGF ...
//   log_limit_end(&l);
#ifndef CTRL_LOG_LIMIT_H
#define CTRL_LOG_LIMIT_H

#include "ctrl/lib/conn.h"
#include "ctrl/lib/loop.h"

enum {
    LOG_LIMIT_SOURCES = 1024,
    LOG_LIMIT_SOURCE_RATE = 10, // lines a second, in the long run
    LOG_LIMIT_SOURCE_BURST = 100,
    LOG_LIMIT_RATE = 50, // of all of them
    LOG_LIMIT_BURST = 1000
};
struct log_bucket {
    uint64_t at;   // ms
    uint32_t left; // thousandths of a line
    bool used;     // otherwise it is full
};
struct log_limit {
    struct loop *loop;
    struct timer tell;
    uint64_t salt;
    struct log_bucket all, source[LOG_LIMIT_SOURCES],
        *now;                // now: whose lines are being written; NULL: no stranger's
    unsigned taken, depth;   // lines since log_limit_begin; begins without their end
    bool shut;               // there was none left for one of them
    uint64_t left_out, told; // lines, ever; of them in a summary
};
void log_limit_init(struct log_limit *l, struct loop *loop, uint64_t salt); // the salt: random
void log_limit_free(struct log_limit *l);
void log_limit_begin(struct log_limit *l,
                     const struct addr *from); // until its log_limit_end; an inner one changes nothing
void log_limit_pardon(struct log_limit *l);
void log_limit_end(struct log_limit *l);

#endif
