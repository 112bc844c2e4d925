// SPDX-License-Identifier: Apache-2.0
// Capture files: classic pcap of every byte order and time unit comes out as it went in, pcapng as classic
// pcap in nanoseconds; other files and link types are refused by name; what stands before a cut is read; the
// output appears under its name only when it is whole.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/workbench/capture.h"

static char folder[] = "/tmp/espalier-capture-XXXXXX";
static char in[64], out[64];
static struct esp_error err;

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(in, sizeof(in), "%s/in.pcap", folder);
    snprintf(out, sizeof(out), "%s/out.pcap", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(in);
    unlink(out);
    return rmdir(folder);
}

static void put32(uint8_t *p, uint32_t v, bool big)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * (big ? 3 - i : i));
}

static void store(const uint8_t *data, size_t len)
{
    FILE *f = fopen(in, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

// A file with one 60-octet packet; returns its length.
static size_t make(uint8_t *file, uint32_t magic, uint32_t link, bool big, uint32_t captured, uint32_t wire)
{
    memset(file, 0, 24);
    put32(file, magic, big);
    file[big ? 5 : 4] = 2;
    file[big ? 7 : 6] = 4;
    put32(file + 16, 262144, big);
    put32(file + 20, link, big);
    put32(file + 24, 1700000000, big);
    put32(file + 28, 123456, big);
    put32(file + 32, captured, big);
    put32(file + 36, wire, big);
    for (int i = 0; i < 60; i++)
        file[40 + i] = (uint8_t)(i * 7);
    return 100;
}

static void copy_through(void)
{
    struct capture_reader *r;
    struct capture_writer *w;
    struct capture_packet p;

    assert_int_equal(capture_open(&r, in, &err), 0);
    assert_int_equal(capture_create(&w, out, r, &err), 0);
    while (capture_next(r, &p, &err) == 1)
        assert_int_equal(capture_write(w, &p, &err), 0);
    assert_int_equal(access(out, F_OK), -1); // not there before it is whole
    assert_int_equal(capture_commit(w, &err), 0);
    capture_close(r);
}

static void test_every_order_and_unit_comes_out_as_it_went_in(void **state)
{
    uint8_t file[100], back[101];

    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        size_t len = make(file, variant & 1 ? 0xa1b23c4d : 0xa1b2c3d4, 101, variant & 2, 60, 60);
        store(file, len);
        unlink(out);
        copy_through();
        FILE *f = fopen(out, "rb");
        assert_int_equal(fread(back, 1, sizeof(back), f), len);
        fclose(f);
        assert_memory_equal(back, file, len);
    }
}

static void test_packet_cut_by_the_snap_length_shows_both_lengths(void **state)
{
    uint8_t file[100];
    struct capture_reader *r;
    struct capture_packet p;

    (void)state;
    store(file, make(file, 0xa1b2c3d4, 1, true, 60, 1500));
    assert_int_equal(capture_open(&r, in, &err), 0);
    assert_int_equal(capture_link(r), CAPTURE_ETHERNET);
    assert_int_equal(capture_next(r, &p, &err), 1);
    assert_int_equal(p.len, 60);
    assert_int_equal(p.wire_len, 1500);
    assert_int_equal(p.sec, 1700000000);
    assert_int_equal(p.frac, 123456);
    assert_int_equal(capture_next(r, &p, &err), 0);
    capture_close(r);
}

static void must_refuse_open(const uint8_t *file, size_t len, const char *why)
{
    struct capture_reader *r = NULL;

    store(file, len);
    memset(&err, 0, sizeof(err));
    assert_int_equal(capture_open(&r, in, &err), -EINVAL);
    if (!strstr(err.text, why))
        fail_msg("got: %s\nexpected: %s", err.text, why);
}

static void test_other_files_are_refused_by_name(void **state)
{
    static const struct {
        uint32_t magic, link;
        const char *why;
    } cases[] = {
        {0x12345678, 1, "is no capture file: unknown file format"},
        {0xa1b2c3d4, 113, "link type 113 (Linux cooked v1)"},
        {0xa1b2c3d4, 276, "link type 276 (Linux cooked v2)"},
        {0xa1b2c3d4, 0, "link type 0 (BSD loopback)"},
        {0xa1b2c3d4, 14, "link type 14 "},
        {0xa1b2c3d4, 9, "link type 9 (PPP)"},
        {0xa1b2c3d4, 1 | 0x24000000, "frame check"},
    };
    uint8_t file[100];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        must_refuse_open(file, make(file, cases[i].magic, cases[i].link, false, 60, 60), cases[i].why);
    make(file, 0xa1b2c3d4, 101, false, 60, 60);
    for (size_t len = 0; len < 24; len++)
        must_refuse_open(file, len, "is no capture file: truncated");
}

// One 60-octet packet, then the same again, cut or broken.
static void test_what_stands_before_a_cut_is_read_and_the_cut_is_named(void **state)
{
    uint8_t file[176];

    (void)state;
    make(file, 0xa1b2c3d4, 12, false, 60, 60);
    memcpy(file + 100, file + 24, 76);
    for (size_t len = 101; len < 176; len++) {
        struct capture_reader *r;
        struct capture_packet p;
        store(file, len);
        assert_int_equal(capture_open(&r, in, &err), 0);
        assert_int_equal(capture_next(r, &p, &err), 1);
        assert_int_equal(p.len, 60);
        assert_memory_equal(p.data, file + 40, 60);
        assert_int_equal(capture_next(r, &p, &err), -EIO);
        assert_non_null(strstr(err.text, "packet 2: truncated dump file"));
        capture_close(r);
    }
}

static void test_length_beyond_any_packet_ends_the_file_there(void **state)
{
    uint8_t file[176];
    struct capture_reader *r;
    struct capture_packet p;

    (void)state;
    make(file, 0xa1b2c3d4, 12, false, 60, 60);
    memcpy(file + 100, file + 24, 76);
    put32(file + 108, 300000, false);
    store(file, sizeof(file));
    assert_int_equal(capture_open(&r, in, &err), 0);
    assert_int_equal(capture_next(r, &p, &err), 1);
    assert_int_equal(capture_next(r, &p, &err), -EIO);
    assert_non_null(strstr(err.text, "packet 2: invalid packet capture length 300000"));
    capture_close(r);
}

// Some drivers write an octet more than they say was on the wire: tcpdump and tshark take the packet.
static void test_more_octets_than_on_the_wire_are_taken_as_they_are(void **state)
{
    uint8_t file[100], back[101];

    (void)state;
    store(file, make(file, 0xa1b2c3d4, 12, false, 60, 59));
    unlink(out);
    copy_through();
    FILE *f = fopen(out, "rb");
    assert_int_equal(fread(back, 1, sizeof(back), f), 100);
    fclose(f);
    assert_memory_equal(back, file, 100);
}

// ---- pcapng (draft-ietf-opsawg-pcapng): section header, interface with `tsresol`, one enhanced packet
static size_t ng_block(uint8_t *at, uint32_t type, const uint8_t *body, size_t len, bool big)
{
    put32(at, type, big);
    put32(at + 4, (uint32_t)len + 12, big);
    memcpy(at + 8, body, len);
    put32(at + 8 + len, (uint32_t)len + 12, big);
    return len + 12;
}

static size_t make_ng(uint8_t *file, uint16_t link, uint8_t tsresol, uint64_t stamp, bool big)
{
    uint8_t body[80] = {0};
    size_t n;

    put32(body, 0x1a2b3c4d, big);
    body[big ? 5 : 4] = 1;
    memset(body + 8, 0xff, 8);
    n = ng_block(file, 0x0a0d0d0a, body, 16, big);
    memset(body, 0, sizeof(body));
    body[big ? 1 : 0] = (uint8_t)link;
    body[big ? 9 : 8] = 9; // option if_tsresol, 1 octet
    body[big ? 11 : 10] = 1;
    body[12] = tsresol;
    n += ng_block(file + n, 1, body, 20, big);
    memset(body, 0, sizeof(body));
    put32(body + 4, (uint32_t)(stamp >> 32), big);
    put32(body + 8, (uint32_t)stamp, big);
    put32(body + 12, 60, big);
    put32(body + 16, 60, big);
    for (int i = 0; i < 60; i++)
        body[20 + i] = (uint8_t)(i * 7);
    return n + ng_block(file + n, 6, body, 80, big);
}

static void test_pcapng_comes_out_as_classic_pcap_in_nanoseconds(void **state)
{
    static const struct {
        uint8_t tsresol;
        uint64_t stamp;
        uint32_t nanoseconds;
    } cases[] = {{6, 1700000000123456, 123456000}, {9, 1700000000123456789, 123456789}};
    uint8_t file[200], wanted[100], back[101];

    (void)state;
    for (int i = 0; i < 4; i++) {
        bool big = i & 1;
        store(file, make_ng(file, 101, cases[i / 2].tsresol, cases[i / 2].stamp, big));
        unlink(out);
        copy_through();
        make(wanted, 0xa1b23c4d, 101, big, 60, 60);
        put32(wanted + 28, cases[i / 2].nanoseconds, big);
        FILE *f = fopen(out, "rb");
        assert_int_equal(fread(back, 1, sizeof(back), f), 100);
        fclose(f);
        assert_memory_equal(back, wanted, 100);
    }
    must_refuse_open(file, make_ng(file, 113, 6, 0, false), "link type 113 (Linux cooked v1)");
}

static void test_pcapng_cut_in_its_last_packet_is_named(void **state)
{
    uint8_t file[200];
    size_t len = make_ng(file, 1, 6, 0, false);
    struct capture_reader *r;
    struct capture_packet p;

    (void)state;
    store(file, len - 30);
    assert_int_equal(capture_open(&r, in, &err), 0);
    assert_int_equal(capture_next(r, &p, &err), -EIO);
    assert_non_null(strstr(err.text, "packet 1: truncated"));
    capture_close(r);
}

static void test_how_far_a_file_is_read_is_known_but_not_of_a_pipe(void **state)
{
    uint8_t file[100];
    struct capture_reader *r;
    struct capture_packet p;

    (void)state;
    store(file, make(file, 0xa1b2c3d4, 1, false, 60, 60));
    assert_int_equal(capture_open(&r, in, &err), 0);
    assert_in_range(capture_permille(r), 240, 1000);
    assert_int_equal(capture_next(r, &p, &err), 1);
    assert_int_equal(capture_permille(r), 1000);
    capture_close(r);
    int ends[2];
    char name[32];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], file, 100), 100);
    close(ends[1]);
    snprintf(name, sizeof(name), "/dev/fd/%d", ends[0]);
    assert_int_equal(capture_open(&r, name, &err), 0);
    assert_int_equal(capture_next(r, &p, &err), 1);
    assert_int_equal(capture_next(r, &p, &err), 0);
    assert_int_equal(capture_permille(r), -1);
    capture_close(r);
    close(ends[0]);
}

static unsigned files_in_folder(void)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void test_abandoned_output_leaves_nothing_behind(void **state)
{
    uint8_t file[100];
    struct capture_reader *r;
    struct capture_writer *w;
    struct stat st;

    (void)state;
    unlink(out);
    store(file, make(file, 0xa1b2c3d4, 1, false, 60, 60));
    assert_int_equal(capture_open(&r, in, &err), 0);
    assert_int_equal(capture_create(&w, out, r, &err), 0);
    capture_abandon(w);
    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(capture_create(&w, "/tmp", r, &err), -EISDIR);
    assert_int_equal(capture_create(&w, "/dev/null", r, &err), 0); // written itself, not replaced
    assert_int_equal(capture_commit(w, &err), 0);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(capture_create(&w, "/nonexistent/out.pcap", r, &err), -ENOENT);
    capture_close(r);
}

static void test_ip_is_found_behind_vlan_tags(void **state)
{
    uint8_t f[64] = {0};
    int type_at;

    (void)state;
    f[12] = 0x08;
    assert_int_equal(capture_find_ip(CAPTURE_ETHERNET, f, 60, &type_at), 14);
    assert_int_equal(type_at, 12);
    memcpy(f + 12, "\x88\xa8\x00\x05\x81\x00\x00\x06\x86\xdd", 10);
    assert_int_equal(capture_find_ip(CAPTURE_ETHERNET, f, 60, &type_at), 22);
    assert_int_equal(type_at, 20);
    assert_int_equal(capture_find_ip(CAPTURE_ETHERNET, f, 21, &type_at), -1);
    memcpy(f + 12, "\x08\x06", 2);
    assert_int_equal(capture_find_ip(CAPTURE_ETHERNET, f, 60, &type_at), -1);
    assert_int_equal(capture_find_ip(CAPTURE_ETHERNET, f, 10, &type_at), -1);
    f[0] = 0x45;
    assert_int_equal(capture_find_ip(CAPTURE_RAW, f, 20, &type_at), 0);
    assert_int_equal(capture_find_ip(CAPTURE_IPV4, f, 20, &type_at), 0);
    assert_int_equal(capture_find_ip(CAPTURE_IPV6, f, 20, &type_at), -1);
    assert_int_equal(capture_find_ip(CAPTURE_RAW, f, 0, &type_at), -1);
    f[0] = 0x20;
    assert_int_equal(capture_find_ip(CAPTURE_RAW, f, 20, &type_at), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order_and_unit_comes_out_as_it_went_in),
        cmocka_unit_test(test_packet_cut_by_the_snap_length_shows_both_lengths),
        cmocka_unit_test(test_other_files_are_refused_by_name),
        cmocka_unit_test(test_what_stands_before_a_cut_is_read_and_the_cut_is_named),
        cmocka_unit_test(test_length_beyond_any_packet_ends_the_file_there),
        cmocka_unit_test(test_more_octets_than_on_the_wire_are_taken_as_they_are),
        cmocka_unit_test(test_pcapng_comes_out_as_classic_pcap_in_nanoseconds),
        cmocka_unit_test(test_pcapng_cut_in_its_last_packet_is_named),
        cmocka_unit_test(test_how_far_a_file_is_read_is_known_but_not_of_a_pipe),
        cmocka_unit_test(test_abandoned_output_leaves_nothing_behind),
        cmocka_unit_test(test_ip_is_found_behind_vlan_tags),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
