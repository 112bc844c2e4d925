// SPDX-License-Identifier: Apache-2.0
// Classic pcap files: every byte order and time unit comes out as it went in, everything that is not classic
// pcap of a known link type is refused by name, and the output appears under its name only when it is whole.
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

#include "sim/workbench/pcap.h"

static char folder[] = "/tmp/espalier-pcap-XXXXXX";
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
    struct pcap_reader *r;
    struct pcap_writer *w;
    struct pcap_packet p;

    assert_int_equal(pcap_open(&r, in, &err), 0);
    assert_int_equal(pcap_create(&w, out, r, &err), 0);
    while (pcap_next(r, &p, &err) == 1)
        assert_int_equal(pcap_write(w, &p, &err), 0);
    assert_int_equal(access(out, F_OK), -1); // not there before it is whole
    assert_int_equal(pcap_commit(w, &err), 0);
    pcap_close(r);
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
    struct pcap_reader *r;
    struct pcap_packet p;

    (void)state;
    store(file, make(file, 0xa1b2c3d4, 1, true, 60, 1500));
    assert_int_equal(pcap_open(&r, in, &err), 0);
    assert_int_equal(pcap_link(r), PCAP_LINK_ETHERNET);
    assert_int_equal(pcap_next(r, &p, &err), 1);
    assert_int_equal(p.len, 60);
    assert_int_equal(p.wire_len, 1500);
    assert_int_equal(p.sec, 1700000000);
    assert_int_equal(p.frac, 123456);
    assert_int_equal(pcap_next(r, &p, &err), 0);
    pcap_close(r);
}

static void must_refuse_open(const uint8_t *file, size_t len, const char *why)
{
    struct pcap_reader *r = NULL;

    store(file, len);
    memset(&err, 0, sizeof(err));
    assert_int_equal(pcap_open(&r, in, &err), -EINVAL);
    if (!strstr(err.text, why))
        fail_msg("got: %s\nexpected: %s", err.text, why);
}

static void test_other_files_are_refused_by_name(void **state)
{
    static const struct {
        uint32_t magic, link;
        const char *why;
    } cases[] = {
        {0x0a0d0d0a, 1, "pcapng"},
        {0xa1b2cd34, 1, "modified"},
        {0x12345678, 1, "is no pcap file"},
        {0xa1b2c3d4, 113, "link type 113 (Linux cooked)"},
        {0xa1b2c3d4, 276, "link type 276 (Linux cooked v2)"},
        {0xa1b2c3d4, 0, "link type 0 (BSD loopback)"},
        {0xa1b2c3d4, 14, "link type 14"},
        {0xa1b2c3d4, 1 | 0x24000000, "frame check"},
    };
    uint8_t file[100];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        must_refuse_open(file, make(file, cases[i].magic, cases[i].link, false, 60, 60), cases[i].why);
    must_refuse_open(file, 23, "shorter than its 24-octet header");
}

static void test_broken_records_are_refused_by_number(void **state)
{
    static const struct {
        uint32_t captured, wire;
        size_t len;
        const char *why;
    } cases[] = {
        {60, 60, 99, "packet 1: the file ends inside the packet"},
        {60, 60, 39, "packet 1: the file ends inside the record header"},
        {300000, 300000, 100, "packet 1: 300000 octets"},
        {60, 59, 100, "packet 1: 60 octets captured of 59"},
    };
    uint8_t file[100];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pcap_reader *r;
        struct pcap_packet p;
        make(file, 0xa1b2c3d4, 12, false, cases[i].captured, cases[i].wire);
        store(file, cases[i].len);
        assert_int_equal(pcap_open(&r, in, &err), 0);
        assert_int_equal(pcap_next(r, &p, &err), -EINVAL);
        assert_non_null(strstr(err.text, cases[i].why));
        pcap_close(r);
    }
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
    struct pcap_reader *r;
    struct pcap_writer *w;
    struct stat st;

    (void)state;
    unlink(out);
    store(file, make(file, 0xa1b2c3d4, 1, false, 60, 60));
    assert_int_equal(pcap_open(&r, in, &err), 0);
    assert_int_equal(pcap_create(&w, out, r, &err), 0);
    pcap_abandon(w);
    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(pcap_create(&w, "/tmp", r, &err), -EISDIR);
    assert_int_equal(pcap_create(&w, "/dev/null", r, &err), 0); // written itself, not replaced
    assert_int_equal(pcap_commit(w, &err), 0);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(pcap_create(&w, "/nonexistent/out.pcap", r, &err), -ENOENT);
    pcap_close(r);
}

static void test_ip_is_found_behind_vlan_tags(void **state)
{
    uint8_t f[64] = {0};
    int type_at;

    (void)state;
    f[12] = 0x08;
    assert_int_equal(pcap_find_ip(PCAP_LINK_ETHERNET, f, 60, &type_at), 14);
    assert_int_equal(type_at, 12);
    memcpy(f + 12, "\x88\xa8\x00\x05\x81\x00\x00\x06\x86\xdd", 10);
    assert_int_equal(pcap_find_ip(PCAP_LINK_ETHERNET, f, 60, &type_at), 22);
    assert_int_equal(type_at, 20);
    assert_int_equal(pcap_find_ip(PCAP_LINK_ETHERNET, f, 21, &type_at), -1);
    memcpy(f + 12, "\x08\x06", 2);
    assert_int_equal(pcap_find_ip(PCAP_LINK_ETHERNET, f, 60, &type_at), -1);
    assert_int_equal(pcap_find_ip(PCAP_LINK_ETHERNET, f, 10, &type_at), -1);
    f[0] = 0x45;
    assert_int_equal(pcap_find_ip(PCAP_LINK_RAW, f, 20, &type_at), 0);
    assert_int_equal(pcap_find_ip(PCAP_LINK_IPV4, f, 20, &type_at), 0);
    assert_int_equal(pcap_find_ip(PCAP_LINK_IPV6, f, 20, &type_at), -1);
    assert_int_equal(pcap_find_ip(PCAP_LINK_RAW, f, 0, &type_at), -1);
    f[0] = 0x20;
    assert_int_equal(pcap_find_ip(PCAP_LINK_RAW, f, 20, &type_at), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order_and_unit_comes_out_as_it_went_in),
        cmocka_unit_test(test_packet_cut_by_the_snap_length_shows_both_lengths),
        cmocka_unit_test(test_other_files_are_refused_by_name),
        cmocka_unit_test(test_broken_records_are_refused_by_number),
        cmocka_unit_test(test_abandoned_output_leaves_nothing_behind),
        cmocka_unit_test(test_ip_is_found_behind_vlan_tags),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
