// SPDX-License-Identifier: Apache-2.0
// Where metrics are served, as `espalierd.metrics` says it: a port of 127.0.0.1, ADDRESS:PORT, [ADDRESS]:PORT
// or unix://PATH.
#ifndef CTRL_METRICS_AT_H
#define CTRL_METRICS_AT_H

#include <stdbool.h>
#include <sys/socket.h>

#define METRICS_AT_EXPECTED "no, PORT, ADDRESS:PORT, [IPv6]:PORT or unix:///PATH"

struct metrics_at {
    struct sockaddr_storage address;
    socklen_t len;
    char path[108]; // of unix://; otherwise empty
    bool wide;      // others than this machine reach it
};
int metrics_at_read(const char *text, struct metrics_at *out); // 0 or -EINVAL

#endif
