// SPDX-License-Identifier: Apache-2.0
// Who reads the daemon's log and stands still: the pipe that is its stderr, and a VICI client that has asked
// for the events of "log". Nothing waits for them (a write that blocked would stop the world). What the
// pipe's reader finds when it reads on, and what it is told to have missed, is all that was logged; what the
// client finds are whole messages, or that it was hung up on.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/ctl/client.h"
#include "ctrl/ctl/vici_msg.h"
#include "ctrl/lib/log.h"
#include "ctrl/path/path.h"
#include "tests/world/world.h"

enum { PIPE_SIZE = 4 * 4096, SOCKET_SIZE = 4096, STEP = SECOND / 20, STEPS = 40 };

// ---- what is said

static struct ipc_chan *to_ctl(struct daemon *d, enum room r)
{
    return r == ROOM_IKE    ? d->ike ? ike_channel(d->ike, ROOM_CTL) : NULL
           : r == ROOM_KEYS ? d->keys ? keys_channel(d->keys, ROOM_CTL) : NULL
           : d->path        ? d->path->ctl
                            : NULL;
}

// As the rooms' own main functions have it.
void readers_line(struct daemon *d, enum room r, enum log_subsys s, int level, const char *ike_name,
                  unsigned ike_id, const char *text)
{
    struct msg_LOG m = {.room = (uint8_t)r, .subsys = (uint8_t)s, .level = (uint8_t)level, .ike_id = ike_id};
    if (!d->site->silent.on)
        return;
    d->site->silent.lines++;
    if (d->life != UP || d->cut || r == ROOM_SUPER)
        return;
    snprintf(m.ike_name, sizeof(m.ike_name), "%s", ike_name);
    snprintf(m.text, sizeof(m.text), "%s", text);
    // What is logged about the telling is told to nobody in turn (log.c), and it is not counted here.
    log_set_output(-1);
    if (r == ROOM_CTL)
        ctl_log_event(d->ctl, &m);
    else
        ipc_send(to_ctl(d, r), MSG_LOG, &m);
    log_set_output(d->site->silent.err[1]);
}

static void output_to(struct daemon *d, int fd)
{
    for (int r = ROOM_CTL; r < ROOM_FETCH; r++) {
        struct log *before = log_use(d->log[r]);
        if (d->log[r])
            log_set_output(fd);
        log_use(before);
    }
}

static uint64_t dropped(struct daemon *d)
{
    uint64_t n = 0;
    for (int r = ROOM_CTL; r < ROOM_FETCH; r++) {
        struct log *before = log_use(d->log[r]);
        n += log_dropped();
        log_use(before);
    }
    return n;
}

// ---- what is read

static void read_pipe(struct silent *x)
{
    char text[PIPE_SIZE + 1];
    ssize_t n;
    while ((n = read(x->err[0], text, PIPE_SIZE)) > 0) {
        text[n] = 0;
        for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            const char *told = strstr(line, " lines are missing here: nobody read them");
            const char *from = told;
            while (from && from > line && from[-1] >= '0' && from[-1] <= '9')
                from--;
            if (told)
                x->missing += strtoull(from, NULL, 10);
            else
                x->had++;
        }
    }
}

static void read_events(struct site *s)
{
    struct silent *x = &s->silent;
    ssize_t n;
    while ((n = recv(x->vici, x->in + x->have, sizeof(x->in) - x->have, MSG_DONTWAIT)) > 0) {
        x->have += (size_t)n;
        while (x->have >= 4 && x->have >= 4 + get32(x->in)) {
            size_t whole = 4 + get32(x->in);
            if (whole == 4 || (x->in[4] != VICI_EVENT && x->in[4] != VICI_EVENT_CONFIRM))
                world_fail(s->w, "log", "ctl of %c sends who reads its log no event but type %u", s->letter,
                           x->in[4]);
            x->events++;
            memmove(x->in, x->in + whole, x->have -= whole);
        }
        if (x->have == sizeof(x->in)) {
            world_fail(s->w, "log", "ctl of %c sends who reads its log what is no event", s->letter);
            return;
        }
    }
}

// ---- the act

static void check_queues(struct site *s)
{
    for (const struct client *c = s->d.ctl->server->clients; c; c = c->next)
        if (c->queued > SERVER_EVENT_QUEUE + 65536)
            world_fail(s->w, "log", "ctl of %c keeps %zu octets for a client that does not read", s->letter,
                       c->queued);
}

// Each room says something, so that what it has dropped is told; nobody else reads what it logs.
static void say_all(struct site *s)
{
    for (int r = ROOM_CTL; r < ROOM_FETCH; r++) {
        struct log *before = log_use(s->d.log[r]);
        if (s->d.log[r])
            LOGF(DMN, 1, "somebody reads the log again");
        log_use(before);
        read_pipe(&s->silent);
    }
}

static void settle(struct site *s)
{
    struct silent *x = &s->silent;
    say_all(s);
    uint64_t lost = dropped(&s->d) - x->dropped;
    TRACE(s->w, 88, x->had, "%c log: %llu lines, %llu read, %llu dropped, %llu of them told; %llu events",
          s->letter, (unsigned long long)x->lines, (unsigned long long)x->had, (unsigned long long)lost,
          (unsigned long long)x->missing, (unsigned long long)x->events);
    // What is said while a line is handed on to ctl (a client is hung up on) is handed on to nobody, so not
    // counted.
    if (x->lines > x->had + lost || x->missing != lost)
        world_fail(s->w, "log",
                   "%c has logged %llu lines; read are %llu, dropped %llu, told to be missing %llu",
                   s->letter, (unsigned long long)x->lines, (unsigned long long)x->had,
                   (unsigned long long)lost, (unsigned long long)x->missing);
    s->silences++;
    s->silent_dropped += lost;
}

void readers_gone(struct site *s)
{
    struct silent *x = &s->silent;
    if (!x->on)
        return;
    x->on = false;
    close(x->err[0]);
    close(x->err[1]);
    close(x->vici);
}

// What it has dropped went with it; the others tell theirs now.
void readers_room_died(struct site *s)
{
    if (!s->silent.on)
        return;
    read_pipe(&s->silent);
    say_all(s);
    output_to(&s->d, -1);
    readers_gone(s);
}

static void reads_on(struct world *w, void *ctx, uint64_t number)
{
    struct site *s = ctx;
    struct silent *x = &s->silent;
    if (!x->on || x->number != number)
        return;
    if (s->d.life != UP) { // its rooms' logs may be gone, and the rest of it is soon
        agenda_add(w, SECOND, reads_on, s, number);
        return;
    }
    check_queues(s);
    read_pipe(x);
    read_events(s);
    if (++x->steps < STEPS) {
        agenda_add(w, STEP, reads_on, s, number);
        return;
    }
    settle(s);
    output_to(&s->d, -1);
    readers_gone(s);
}

static void ask_for_events(struct site *s)
{
    int pair[2], size = SOCKET_SIZE;
    struct vici_out o;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 ||
        setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
        server_adopt(s->d.ctl->server, pair[0]) < 0)
        abort();
    vici_out_begin(&o, VICI_EVENT_REGISTER, "log");
    if (vici_out_finish(&o) < 0 || send(pair[1], o.data, o.len, MSG_NOSIGNAL) != (ssize_t)o.len)
        abort();
    vici_out_free(&o);
    s->silent.vici = pair[1];
}

void readers_silent(struct site *s, uint64_t for_us)
{
    struct silent *x = &s->silent;
    if (s->d.life != UP || !s->d.ike || !s->d.path || x->on || s->disk.logging)
        return;
    *x = (struct silent){.on = true, .number = x->number + 1, .dropped = dropped(&s->d)};
    if (pipe2(x->err, O_CLOEXEC) < 0 || fcntl(x->err[0], F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(x->err[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)
        abort();
    ask_for_events(s);
    output_to(&s->d, x->err[1]);
    TRACE(s->w, 89, for_us, "%c nobody reads its log for %.1f s", s->letter, (double)for_us / 1e6);
    agenda_add(s->w, for_us, reads_on, s, x->number);
    daemon_wake(s);
}
