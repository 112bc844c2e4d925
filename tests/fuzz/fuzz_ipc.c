// SPDX-License-Identifier: Apache-2.0
// Messages between our processes: `ike` or `keys` (the first octet says which) with neighbours that somebody
// has broken into. Then messages, each as
//   from (bit 3: it answers the last question; bit 4: 2 s pass), length, type and fields
#include <string.h>

#include "ctrl/ike/room.h"
#include "ctrl/keys/keys.h"
#include "tests/fuzz/rooms.h"

enum { ANSWERS = 8, PASS_TIME = 16, MESSAGES = 24 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void net_send(void *ctx, const struct net_path *path, struct slice d, bool marker)
{
    (void)ctx, (void)path, (void)d, (void)marker;
}

static bool net_source_for(void *ctx, const struct addr *remote, struct addr *local)
{
    (void)ctx, (void)remote;
    return addr_parse("10.0.0.1", local);
}

static int to_ike(void *room, enum room peer, int fd)
{
    return ike_attach(room, peer, fd);
}

static int to_keys(void *room, enum room peer, int fd)
{
    return keys_attach(room, peer, fd);
}

static void talk(struct rooms *r, struct reader *in)
{
    for (unsigned i = 0; i < MESSAGES && fuzz_more(in); i++) {
        uint8_t from = fuzz_u8(in);
        struct slice raw = fuzz_bytes(in, fuzz_u16(in));
        rooms_say(r, (enum room)((from & 7) % ROOM_COUNT), raw, from & ANSWERS);
        if (from & PASS_TIME)
            rooms_pass(r, 2000);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(slice_of(data, size));
    const struct net net = {.send = net_send, .source_for = net_source_for};
    struct settings set;
    struct rooms r;
    bool keys = fuzz_u8(&in) & 1;
    rooms_begin(&r);
    settings_default(&set);
    set.session_resumption = true;
    struct ike *ike = keys ? NULL : ike_new(r.loop, &set, &net);
    struct keys *k = keys ? keys_new(r.loop) : NULL;
    rooms_link(&r, keys ? ROOM_KEYS : ROOM_IKE, keys ? (void *)k : (void *)ike, keys ? to_keys : to_ike);
    talk(&r, &in);
    if (keys)
        keys_free(k);
    else
        ike_free(ike);
    rooms_end(&r);
    return 0;
}
