// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cli_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

char *cli_out, *cli_err;
bool cli_terminal;
unsigned cli_width = 120;

static char dir[] = "/tmp/espalier-cli-XXXXXX", path[64], uri[80], notes[64], heard[65536];
static pid_t daemon_pid;
enum { ARGS = 32 };

int cli_rig_begin(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    unsetenv("NO_COLOR");
    strcpy(dir + sizeof(dir) - 7, "XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/vici", dir);
    snprintf(uri, sizeof(uri), "unix://%s", path);
    snprintf(notes, sizeof(notes), "%s/notes", dir);
    cli_terminal = false;
    cli_width = 120;
    return 0;
}

int cli_rig_end(void **state)
{
    (void)state;
    fake_stop();
    free(cli_out);
    free(cli_err);
    cli_out = cli_err = NULL;
    unlink(notes);
    return rmdir(dir);
}

// ---- the daemon

static bool read_all(int fd, uint8_t *to, size_t len)
{
    while (len) {
        ssize_t n = read(fd, to, len);
        if (n <= 0)
            return false;
        to += n;
        len -= (size_t)n;
    }
    return true;
}

void fake_send(struct fake *f, struct vici_out *o)
{
    if (vici_out_finish(o) != 0 || send(f->fd, o->data, o->len, MSG_NOSIGNAL) != (ssize_t)o->len)
        _exit(1);
    vici_out_free(o);
}

static void send_type(struct fake *f, enum vici_packet type)
{
    struct vici_out o;
    vici_out_begin(&o, type, NULL);
    fake_send(f, &o);
}

void fake_ok(struct fake *f)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", "yes");
    fake_send(f, &o);
}

void fake_refuse(struct fake *f, const char *why)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", "no");
    vici_put(&o, "errmsg", why);
    fake_send(f, &o);
}

void fake_unknown(struct fake *f)
{
    send_type(f, VICI_CMD_UNKNOWN);
}

static void note_value(FILE *to, const struct vici_node *n)
{
    bool text = true;
    for (size_t i = 0; i < n->len; i++)
        text = text && n->value[i] >= ' ' && n->value[i] < 0x7f;
    if (text)
        fprintf(to, "%.*s", (int)n->len, (const char *)n->value);
    else
        fprintf(to, "(%zu octets)", n->len);
}

static void note_node(FILE *to, const struct vici_node *n)
{
    for (const struct vici_node *k = n->child; k; k = k->next) {
        fprintf(to, "%s", n->kind == VICI_LIST ? (k == n->child ? "" : ",") : " ");
        if (k->kind == VICI_VALUE)
            fprintf(to, "%s=", k->name);
        if (k->kind == VICI_VALUE || k->kind == VICI_ITEM)
            note_value(to, k);
        else
            fprintf(to, "%s%s", k->name, k->kind == VICI_LIST ? "=[" : "{");
        if (k->child || k->kind == VICI_LIST || k->kind == VICI_SECTION)
            note_node(to, k);
        if (k->kind == VICI_LIST || k->kind == VICI_SECTION)
            fprintf(to, "%s", k->kind == VICI_LIST ? "]" : " }");
    }
}

static void answer_request(struct fake *f, const uint8_t *frame, size_t len, fake_answer_fn *answer)
{
    char command[256];
    struct vici_msg m;
    snprintf(command, sizeof(command), "%.*s", frame[1], (const char *)frame + 2);
    if (vici_msg_parse(&m, frame + 2 + frame[1], len - 2 - frame[1], NULL) != 0)
        _exit(1);
    FILE *to = fopen(notes, "a");
    fprintf(to, "%s", command);
    note_node(to, m.root);
    fputc('\n', to);
    fclose(to);
    if (answer)
        answer(f, command, m.root);
    vici_msg_free(&m);
}

static void confirm(struct fake *f, const char *name, size_t len, const char *lacks,
                    fake_event_fn *on_register)
{
    char event[256];
    snprintf(event, sizeof(event), "%.*s", (int)len, name);
    bool lacking = lacks && strcmp(lacks, event) == 0;
    send_type(f, lacking ? VICI_EVENT_UNKNOWN : VICI_EVENT_CONFIRM);
    if (on_register)
        on_register(f, event);
}

static void serve(int fd, fake_answer_fn *answer, fake_event_fn *on_register, const char *lacks)
{
    static uint8_t frame[VICI_MAX_FRAME], head[4];
    struct fake f = {fd};
    while (read_all(fd, head, sizeof(head))) {
        size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        if (len < 2 || len > sizeof(frame) || !read_all(fd, frame, len))
            _exit(1);
        if (frame[0] == VICI_EVENT_REGISTER)
            confirm(&f, (const char *)frame + 2, frame[1], lacks, on_register);
        else
            answer_request(&f, frame, len, answer);
    }
}

static void start(fake_answer_fn *answer, fake_event_fn *on_register, const char *lacks)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fake_stop();
    strcpy(un.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 4), 0);
    daemon_pid = fork();
    assert_true(daemon_pid >= 0);
    if (daemon_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int c; (c = accept(fd, NULL, NULL)) >= 0; close(c))
            serve(c, answer, on_register, lacks);
        _exit(0);
    }
    close(fd);
}

// A child of this one, and so killed with it.
static void serve_once(int fd, fake_answer_fn *answer)
{
    int c = accept(fd, NULL, NULL);
    close(fd); // whoever asks meanwhile is refused
    serve(c, answer, NULL, NULL);
    close(c);
}

static int listen_again(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(un.sun_path, path);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&un, sizeof(un)) != 0 || listen(fd, 4) != 0)
        _exit(1);
    return fd;
}

void fake_start_twice(fake_answer_fn *const answers[2])
{
    fake_stop();
    int fd = listen_again();
    daemon_pid = fork();
    assert_true(daemon_pid >= 0);
    if (daemon_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve_once(fd, answers[0]);
        usleep(1500 * 1000); // the next look finds nobody
        serve_once(listen_again(), answers[1]);
        _exit(0);
    }
    close(fd);
}

void fake_start(fake_answer_fn *answer, const char *lacks)
{
    start(answer, NULL, lacks);
}

static void answer_ok(struct fake *f, const char *command, const struct vici_node *args)
{
    (void)command;
    (void)args;
    fake_ok(f);
}

void fake_start_events(fake_event_fn *on_register, const char *lacks)
{
    start(answer_ok, on_register, lacks);
}

void fake_stop(void)
{
    if (daemon_pid > 0) {
        kill(daemon_pid, SIGKILL);
        waitpid(daemon_pid, NULL, 0);
        unlink(path);
    }
    daemon_pid = 0;
}

const char *fake_heard(void)
{
    FILE *f = fopen(notes, "r");
    size_t n = f ? fread(heard, 1, sizeof(heard) - 1, f) : 0;
    heard[n] = 0;
    if (f)
        fclose(f);
    unlink(notes);
    return heard;
}

// ---- the command

int espalier_plain(int argc, char *const *argv)
{
    size_t n;
    free(cli_out);
    free(cli_err);
    FILE *out = open_memstream(&cli_out, &n), *err = open_memstream(&cli_err, &n);
    assert_non_null(out);
    assert_non_null(err);
    int status = cli_main(out, err, cli_terminal, cli_width, argc, argv);
    fclose(out);
    fclose(err);
    return status;
}

int espalier(const char *first, ...)
{
    char *argv[ARGS + 4] = {"espalier", (char *)(uintptr_t)first};
    int argc = 2;
    va_list ap;
    va_start(ap, first);
    for (char *arg; (arg = va_arg(ap, char *)) && argc < ARGS; argc++)
        argv[argc] = arg;
    va_end(ap);
    argv[argc++] = "--uri";
    argv[argc++] = uri;
    argv[argc] = NULL;
    return espalier_plain(argc, argv);
}

void shows(const char *text)
{
    if (!strstr(cli_out, text))
        fail_msg("expected \"%s\" in:\n%s\nand standard error:\n%s", text, cli_out, cli_err);
}

void says(const char *text)
{
    if (!strstr(cli_err, text))
        fail_msg("expected \"%s\" on standard error:\n%s", text, cli_err);
}
