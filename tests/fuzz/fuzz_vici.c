// SPDX-License-Identifier: Apache-2.0
// The process `ctl` between a VICI client and the other processes, both the fuzzer's. Steps, each as
//   kind, length, octets
// kind 0-7: a frame of the client, whose length is put before it; 8: octets of the client as they are; from
// 16 on a message from room (kind & 7), which answers the last question where bit 3 is set. Every question
// that is asked in between is answered: well, or not where kind has bit 6.
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/ctl/ctl.h"
#include "tests/fuzz/rooms.h"

enum { RAW = 8, FROM_ROOM = 16, ANSWERS = 8, REFUSED = 64, STEPS = 16 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static int to_ctl(void *room, enum room peer, int fd)
{
    return ctl_connect(room, peer, fd);
}

static void read_away(int client)
{
    static uint8_t wire[65536];
    while (recv(client, wire, sizeof(wire), MSG_DONTWAIT) > 0)
        ;
}

static void client_says(struct rooms *r, int client, struct slice d, bool raw)
{
    const uint8_t head[4] = {(uint8_t)(d.len >> 24), (uint8_t)(d.len >> 16), (uint8_t)(d.len >> 8),
                             (uint8_t)d.len};
    if (!raw)
        (void)!send(client, head, sizeof(head), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (d.len)
        (void)!send(client, d.p, d.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    rooms_turn(r);
}

static void answer(struct rooms *r, bool ok)
{
    uint8_t buf[64];
    for (int i = 0; i < ROOM_COUNT; i++) {
        static const uint8_t none[4];
        struct writer w = writer_of(buf, sizeof(buf));
        if (r->fd[i] < 0 || memcmp(r->asked[i], none, sizeof(none)) == 0)
            continue;
        msg_write(&w, MSG_RESULT, &(struct msg_RESULT){.ok = ok, .text = "so"});
        rooms_say(r, (enum room)i, wr_written(&w), true);
        memset(r->asked[i], 0, sizeof(r->asked[i]));
    }
}

static void step(struct rooms *r, int client, struct reader *in)
{
    uint8_t kind = fuzz_u8(in);
    struct slice d = fuzz_bytes(in, fuzz_u16(in));
    if (kind & FROM_ROOM)
        rooms_say(r, (enum room)((kind & 7) % ROOM_COUNT), d, kind & ANSWERS);
    else
        client_says(r, client, d, kind & RAW);
    if (!(kind & FROM_ROOM))
        answer(r, !(kind & REFUSED));
    read_away(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(slice_of(data, size));
    struct settings set;
    struct rooms r;
    int pair[2];
    rooms_begin(&r);
    settings_default(&set);
    struct ctl *ctl = ctl_new(r.loop, &set);
    rooms_link(&r, ROOM_CTL, ctl, to_ctl);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0 ||
        server_adopt(ctl->server, pair[0]) < 0)
        abort();
    for (unsigned i = 0; i < STEPS && fuzz_more(&in); i++)
        step(&r, pair[1], &in);
    if (size & 1)
        rooms_pass(&r, CTL_ANSWER_MS + 1);
    close(pair[1]);
    rooms_turn(&r);
    ctl_free(ctl);
    rooms_end(&r);
    return 0;
}
