// SPDX-License-Identifier: Apache-2.0
// Datagrams that anybody can send: IKE_SA_INIT requests without a cookie, octets at random, messages of IKE
// SAs that nobody has.
#ifndef TESTS_LOAD_STRANGERS_H
#define TESTS_LOAD_STRANGERS_H

#include "tests/load/client.h"

enum { STRANGER_MAX = 2048 };
struct stranger { // one datagram as a template; each one sent differs
    uint8_t data[STRANGER_MAX];
    size_t len;
    uint64_t random;
};
int stranger_make(struct stranger *s, const struct load_options *o, const struct client_ends *ends);
void stranger_vary(struct stranger *s, enum load_kind kind, uint32_t n);

#endif
