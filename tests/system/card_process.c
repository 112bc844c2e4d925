// SPDX-License-Identifier: Apache-2.0
#include "tests/system/card_process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

char program[512], dir[64];
pid_t card_pid;

void start_card(const char *name)
{
    int out[2];
    char line[128] = "";

    snprintf(dir, sizeof(dir), "/tmp/%s-XXXXXX", name);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pipe(out), 0);
    card_pid = fork();
    assert_true(card_pid >= 0);
    if (card_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], 1);
        close(out[0]);
        close(out[1]);
        execl(program, program, "--dir", dir, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    if (read(out[0], line, sizeof(line) - 1) <= 0 || strncmp(line, "ready ", 6) != 0)
        fail_msg("%s did not come up: got '%s', expected 'ready ...'", program, line);
    close(out[0]);
}

void stop_card(int signal)
{
    char line[128];

    kill(card_pid, signal);
    waitpid(card_pid, NULL, 0);
    card_pid = 0;
    snprintf(line, sizeof(line), "rm -rf '%s'", dir);
    assert_int_equal(system(line), 0);
}
