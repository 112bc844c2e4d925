// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/script_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char dir[64];
char output[32768];

const char sudo_stub[] =
    "#!/bin/sh\n"
    "keep=\n"
    "while :; do\n"
    "  case $1 in -n) ;; --preserve-env=*) keep=${1#*=} ;; *) break ;; esac\n"
    "  shift\n"
    "done\n"
    "for v in $(echo \"$keep\" | tr , ' '); do\n"
    "  eval \"[ -z \\\"\\${$v+x}\\\" ] || set -- \\\"$v=\\$$v\\\" \\\"\\$@\\\"\"\n"
    "done\n"
    "exec env -i ROOT=1 S=\"$S\" PATH=\"$PATH\" \"$@\" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-\n";

void dir_make(const char *name)
{
    snprintf(dir, sizeof(dir), "/tmp/espalier-test-%s-XXXXXX", name);
    assert_non_null(mkdtemp(dir));
}

int dir_remove(void **state)
{
    char cmd[96];
    (void)state;
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return system(cmd);
}

static void path_of(char path[160], const char *name)
{
    snprintf(path, 160, "%s/%s", dir, name);
}

void dir_folder(const char *name)
{
    char path[160];
    path_of(path, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

void put(const char *name, const char *text)
{
    char path[160];
    path_of(path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, 0755), 0);
}

bool exists(const char *name)
{
    char path[160];
    path_of(path, name);
    return access(path, F_OK) == 0;
}

int command(const char *cmd)
{
    char whole[1024];
    assert_true(snprintf(whole, sizeof(whole), "%s 2>&1 </dev/null", cmd) < (int)sizeof(whole));
    FILE *f = popen(whole, "r");
    assert_non_null(f);
    size_t n = fread(output, 1, sizeof(output) - 1, f);
    output[n] = 0;
    int rc = pclose(f);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : WIFSIGNALED(rc) ? 128 + WTERMSIG(rc) : -1;
}

void must_say(const char *text)
{
    if (!strstr(output, text))
        fail_msg("expected \"%s\" in:\n%s", text, output);
}
