// SPDX-License-Identifier: Apache-2.0
// Two sites, each a network namespace, a link between them, and the programs that run there. Nothing of it
// outlives the process, but a folder that lab_sweep removes.
#ifndef SIM_PAIR_LAB_H
#define SIM_PAIR_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PAIR_WEST, PAIR_EAST, PAIR_SITES };
struct pair_site {
    const char *name;
    const char *outer, *inner; // addresses on the link, and behind the gateway
    int ns;                    // -1: there is none
    pid_t daemon;
    char dir[112];
};
struct pair_lab {
    struct pair_site site[PAIR_SITES];
    int home; // the namespace that we are in otherwise
    pid_t card;
    bool user_namespace; // of our own
    char dir[96], bin[512];
    char why[512]; // what went wrong last, in words
};

uint64_t pair_ms(void);
__attribute__((format(printf, 2, 3))) bool pair_fail(struct pair_lab *l, const char *fmt, ...); // false

bool lab_begin(struct pair_lab *l); // its folder
// What is needed and not there, in why: programs, /dev/net/tun, the right to make namespaces.
bool lab_possible(struct pair_lab *l, bool card);
bool lab_open(struct pair_lab *l);
void lab_close(struct pair_lab *l);
void lab_sweep(const struct pair_lab *l); // what still ends there may write until it has

// A socket of that site, not blocking; -1 and errno.
int lab_socket(const struct pair_lab *l, const struct pair_site *s, int domain, int type, int protocol);
// Runs a program to its end, its output (both) in buf; its exit status, -1: it could not be run or took too
// long.
int lab_run(const struct pair_lab *l, const struct pair_site *s, char *const argv[], char *buf, size_t size,
            unsigned timeout_ms);
// Starts one that stays, its output in LOG in the folder of the site or the lab.
pid_t lab_start(const struct pair_lab *l, const struct pair_site *s, const char *log, char *const argv[]);
bool lab_ended(pid_t *pid);                          // and nobody has asked it to; then it is 0
bool lab_stop(pid_t *pid, int sig, unsigned within); // ms; whether it ended well by then
// The end of each log, for people.
void lab_show_logs(const struct pair_lab *l);

#endif
