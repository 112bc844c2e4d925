// SPDX-License-Identifier: Apache-2.0
// One client: IKE_SA_INIT (with a cookie where it is asked for one), IKE_AUTH with a CHILD SA, answers to
// what the responder asks, and DELETE. It knows no time and no socket.
#ifndef TESTS_LOAD_CLIENT_H
#define TESTS_LOAD_CLIENT_H

#include "ctrl/lib/slice.h"
#include "tests/load/load.h"

enum client_state {
    CLIENT_NEW,
    CLIENT_INIT,
    CLIENT_AUTH,
    CLIENT_UP,
    CLIENT_ENDING,
    CLIENT_GONE,
    CLIENT_FAILED
};
struct client_handshake;
struct cr_sk;
struct client {
    uint64_t spi_i, spi_r, began_ns, took_ns, due_ns;
    uint32_t n, out_mid, in_mid;
    uint32_t queue_next, queue_prev; // of those that wait for an answer
    uint8_t state, tries;
    bool queued;
    struct cr_sk *in, *out;
    struct client_handshake *hs;
    uint8_t *request; // what waits for its answer
    uint32_t request_len;
};
// Where it sends from and to: for NAT_DETECTION.
struct client_ends {
    struct addr local, remote;
    uint16_t local_port, remote_port;
};
enum client_event {
    CLIENT_NOTHING,  // not for it, or old
    CLIENT_UNOPENED, // nobody could have sealed that
    CLIENT_SEND,     // c->request is another one
    CLIENT_COOKIE,   // likewise, and it was a cookie that it was asked for
    CLIENT_ANSWER,   // reply is to be sent
    CLIENT_ENDED,    // likewise: the peer ended it
    CLIENT_DONE,
    CLIENT_LOST
};
enum { CLIENT_REPLY_MAX = 256 };
struct client_reply {
    uint8_t data[CLIENT_REPLY_MAX];
    size_t len;
};

int client_begin(struct client *c, const struct load_options *o, const struct client_ends *ends);
int client_end(struct client *c); // begins the DELETE
// err says why it is lost.
enum client_event client_receive(struct client *c, const struct load_options *o,
                                 const struct client_ends *ends, struct slice datagram,
                                 struct client_reply *reply, struct esp_error *err);
void client_free(struct client *c); // what it holds

#endif
