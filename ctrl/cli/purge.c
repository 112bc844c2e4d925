// SPDX-License-Identifier: Apache-2.0
// `espalier down --purge`. What is whose in the kernel the daemon's program knows: it is `espalierd --purge`
// that does it, and says what went.
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "ctrl/cli/cli.h"
#include "ctrl/cli/json.h"

extern char **environ;

// Beside this one, or wherever the path has it.
static const char *program(char buf[PATH_MAX])
{
    char own[PATH_MAX - 16];
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (n <= 0)
        return "espalierd";
    own[n] = 0;
    snprintf(buf, PATH_MAX, "%s/espalierd", dirname(own));
    return access(buf, X_OK) == 0 ? buf : "espalierd";
}

static int start(const char *run_dir, pid_t *pid, FILE **said)
{
    char path[PATH_MAX], *argv[] = {"espalierd", "--purge", NULL, NULL, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    if (run_dir) {
        argv[2] = "--run-dir";
        argv[3] = (char *)(uintptr_t)run_dir;
    }
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int rc = -posix_spawnp(pid, program(path), &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *said = rc == 0 ? fdopen(ends[0], "r") : NULL;
    if (!*said)
        close(ends[0]);
    return rc;
}

static void pass_on(struct cli *cli, FILE *said, json_t *lines)
{
    char line[600];
    while (said && fgets(line, sizeof(line), said)) {
        line[strcspn(line, "\n")] = 0;
        if (lines) {
            json_array_append_new(lines, json_text(line));
            continue;
        }
        cli_put_clean(cli, line);
        fputc('\n', cli->out);
    }
    if (said)
        fclose(said);
}

// Of the daemon's program; what that could not do it has said itself.
static int status_of(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return CLI_FAILED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_FAILED;
}

int cmd_purge(struct cli *cli)
{
    struct esp_error err = {0};
    pid_t pid = 0;
    FILE *said = NULL;
    bool named =
        cli->operands || cli_given(cli, CLI_IKE) || cli_given(cli, CLI_ID) || cli_given(cli, CLI_CHILD_ID);
    if (named)
        return cli_fail(cli, esp_fail(&err, -EINVAL, "--purge", "takes no name: expected it alone"), &err);
    int rc = start(cli->value[CLI_RUN_DIR], &pid, &said);
    if (rc < 0)
        return cli_fail(cli, esp_fail(&err, -ENODEV, "espalierd", "cannot be started: %s", strerror(-rc)),
                        &err);
    json_t *lines = cli_given(cli, CLI_JSON) ? json_array() : NULL;
    pass_on(cli, said, lines);
    int status = status_of(pid);
    if (lines)
        json_put(cli, json_pack("{s:o, s:b}", "said", lines, "success", status == CLI_DONE));
    return status;
}
