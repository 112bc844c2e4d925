// SPDX-License-Identifier: Apache-2.0
// The event loop of espalier-card: one vfio-user client, one tester, and the model's clock in slices between
// them.
#ifndef ESP_CARD_PROCESS_H
#define ESP_CARD_PROCESS_H

#include "sim/card/device.h"
#include "sim/card/tree.h"

enum { CARD_MAX_LINE = 256 };

struct card_process {
    struct card_device device;
    struct card_tree tree;
    const char *wave_file;
    int epollfd, signalfd;
    int clientfd; // in epoll, as the loop knows it; -1: none
    uint32_t client_events;
    int testerfd;
    char line[CARD_MAX_LINE];
    size_t line_len;
    bool stopping;
    uint64_t deadline; // of the drain
};

// SIGTERM and SIGINT are read from a descriptor. To be called before anything makes a thread, because a
// thread that has them unblocked would die of them (the model's run-time may keep some).
void card_process_block_signals(void);
// 0 or a negative errno.
int card_process_open(struct card_process *p);
// Until SIGTERM or SIGINT and the drain after it. 0 or a negative errno.
int card_process_run(struct card_process *p);
void card_process_close(struct card_process *p);

#endif
