// SPDX-License-Identifier: Apache-2.0
// `espalier` in this process, and a daemon that it talks to in another: it answers as the test says, and
// notes what it was asked.
#ifndef TESTS_CLI_RIG_H
#define TESTS_CLI_RIG_H

#include "ctrl/cli/cli.h"

struct fake {
    int fd; // of the client
};
typedef void fake_answer_fn(struct fake *f, const char *command, const struct vici_node *args);

int cli_rig_begin(void **state);
int cli_rig_end(void **state);
// A daemon that answers so, from now on; events that it knows: all but those named in `lacks` (NULL: none).
void fake_start(fake_answer_fn *answer, const char *lacks);
typedef void fake_event_fn(struct fake *f, const char *event);
// It ends and comes back, with nobody behind its socket between: answers[0] is asked once, then answers[1].
void fake_start_twice(fake_answer_fn *const answers[2]);
void fake_start_events(fake_event_fn *on_register,
                       const char *lacks); // called behind each answer to a registration
void fake_stop(void);
const char *
fake_heard(void); // "command key=value list=[a,b] section{key=value}\n" for each, until the next call

// In the answer.
void fake_send(struct fake *f, struct vici_out *o);
void fake_ok(struct fake *f);
void fake_refuse(struct fake *f, const char *why);
void fake_unknown(struct fake *f);

// Runs the command with --uri and the fake's address behind it; the exit status.
int espalier(const char *first, ...) __attribute__((sentinel));
int espalier_plain(int argc, char *const *argv); // without
extern char *cli_out, *cli_err;                  // of the last
extern bool cli_terminal;
extern unsigned cli_width;
void shows(const char *text); // in cli_out
void says(const char *text);  // in cli_err

#endif
