// SPDX-License-Identifier: Apache-2.0
// libcurl's multi interface in a loop of ours.
#ifndef CTRL_FLEET_CURL_LOOP_H
#define CTRL_FLEET_CURL_LOOP_H

#include <curl/curl.h>

#include "ctrl/lib/loop.h"

struct curl_loop_watch;
struct curl_loop {
    struct loop *loop;
    CURLM *multi;
    struct timer timer;
    struct curl_loop_watch *watches;
    void (*done)(void *ctx, CURL *easy, CURLcode code); // it may take it out and free it
    void *ctx;
};
bool curl_loop_init(struct curl_loop *c, struct loop *l, void (*done)(void *ctx, CURL *easy, CURLcode code),
                    void *ctx);
void curl_loop_free(struct curl_loop *c); // the transfers have been taken out

#endif
