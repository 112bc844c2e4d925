// SPDX-License-Identifier: Apache-2.0
#include "tests/system/http_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

static void note(const char *folder, const char *name)
{
    char path[200], line[120];
    snprintf(path, sizeof(path), "%s/requests", folder);
    snprintf(line, sizeof(line), "%s\n", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        say(fd, line);
        close(fd);
    }
}

static size_t load(const char *folder, const char *name, char *to, size_t size)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(to, 1, size, f) : 0;
    if (f)
        fclose(f);
    return n;
}

static void answer(int fd, const char *folder, const char *name)
{
    static char body[1 << 16];
    char how[16] = "", file[120], head[100];
    snprintf(file, sizeof(file), "%.100s.how", name);
    load(folder, file, how, sizeof(how) - 1);
    if (strncmp(how, "slow", 4) == 0) {
        while (read(fd, head, 1) > 0) // until the other side gives up
            ;
    } else if (strncmp(how, "huge", 4) == 0) {
        say(fd, "HTTP/1.1 200 OK\r\n\r\n");
        while (write(fd, body, sizeof(body)) > 0)
            ;
    } else {
        size_t n = strncmp(how, "missing", 7) == 0 ? 0 : load(folder, name, body, sizeof(body));
        snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n",
                 n ? "200 OK" : "404 Not Found", n);
        say(fd, head);
        (void)!write(fd, body, n);
    }
}

static void serve_one(int fd, const char *folder)
{
    char request[2000] = "", name[100] = "";
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0 && n + 1 < sizeof(request) && !strstr(request, "\r\n\r\n")) {
        got = read(fd, request + n, sizeof(request) - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (sscanf(request, "GET /%99[a-z0-9.-]", name) == 1) {
        note(folder, name);
        answer(fd, folder, name);
    }
}

static void serve(int listener, const char *folder)
{
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            serve_one(fd, folder);
            _exit(0);
        }
    }
    _exit(1);
}

// The child listens before the parent goes on.
bool http_start(const struct site *s, const char *folder, pid_t *pid)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(HTTP_PORT)};
    int ready[2], one = 1;
    char b = 0;
    if (pipe(ready) < 0)
        return complain("no pipe");
    *pid = fork();
    if (*pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = enter_ns(s->ns) ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 16) < 0)
            _exit(1);
        say(ready[1], "r");
        close(ready[1]);
        serve(fd, folder);
    }
    close(ready[1]);
    bool up = *pid > 0 && read(ready[0], &b, 1) == 1;
    close(ready[0]);
    return up || complain("the HTTP server does not come up");
}

void http_stop(pid_t *pid)
{
    stop(pid, SIGKILL, 1000);
}

unsigned http_requests(const char *folder, const char *name)
{
    char path[200], line[120];
    unsigned n = 0;
    snprintf(path, sizeof(path), "%s/requests", folder);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        n += strcmp(line, name) == 0;
    }
    if (f)
        fclose(f);
    return n;
}
