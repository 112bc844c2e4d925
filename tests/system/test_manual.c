// SPDX-License-Identifier: Apache-2.0
// The examples of the manual, taken from its own text and run in the order in which a reader meets them:
// files are written, daemons started, commands given, and what is printed below a command is what it has to
// say. Nothing of the networks behind is on the link in clear, whatever the page does. Standard output is the
// transcript. usage: system_manual [all | PAGE...]; without: those pages that `make check` has time for.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/manual_lab.h"
#include "tests/system/steps.h"

static const struct example {
    const char *page;
    bool quick;     // in `make check`
    uint64_t least; // ESP packets on the link
} examples[] = {
    {"ci", true, 0},         {"cloud", false, 8},
    {"fleet", false, 6},     {"getting-started", true, 6},
    {"libreswan", false, 0}, {"road-warrior", false, 6},
    {"security", true, 0},   {"smartnic", false, 8},
    {"strongswan", true, 6}, {"strongswan-site-to-site", true, 6},
    {"transport", true, 6},  {"troubleshooting", true, 0},
};
enum { EXAMPLES = sizeof(examples) / sizeof(examples[0]) };

static struct manual_lab lab;

static int set_up(void **state)
{
    (void)state;
    needs_strongswan(); // its swanctl, and the folder /etc/swanctl
    return manual_lab_up(&lab) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    manual_lab_down(&lab);
    return 0;
}

static void nothing_in_clear(const struct example *e)
{
    struct wire w;
    assert_true(capture_stop(&lab.lab.west));
    assert_true(wire_check(lab.pcap, &w));
    if (w.esp < e->least || w.repeated || w.plaintext || w.other)
        fail_msg("%s: on the wire: %llu ESP (at least %llu), %llu repeated, %llu of the inner networks, %llu "
                 "others",
                 e->page, (unsigned long long)w.esp, (unsigned long long)e->least,
                 (unsigned long long)w.repeated, (unsigned long long)w.plaintext,
                 (unsigned long long)w.other);
}

static void test_page(void **state)
{
    const struct example *e = *state;
    struct page p;
    if (strcmp(e->page, "libreswan") == 0 && !manual_peers()) {
        print_message("skip: the page about libreswan, because ESPALIER_PEERS names no folder with it\n");
        skip();
    }
    bool ok = page_read(&p, e->page);
    for (size_t i = 0; ok && i < p.count; i++)
        ok = block_run(&lab, &p, &p.blocks[i]);
    page_free(&p);
    assert_true(ok);
    nothing_in_clear(e);
}

static bool asked_for(const struct example *e, int argc, char **argv)
{
    if (argc < 2)
        return e->quick;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "all") == 0 || strcmp(argv[i], e->page) == 0)
            return true;
    }
    return false;
}

static bool is_example(const char *page)
{
    for (size_t i = 0; i < EXAMPLES; i++) {
        if (strcmp(examples[i].page, page) == 0)
            return true;
    }
    return false;
}

static void test_every_page_with_an_example_is_run(void **state)
{
    char at[16];
    size_t count = 0;
    (void)state;
    struct page *pages = pages_read(&count);
    assert_non_null(pages);
    for (size_t i = 0; i < count; i++) {
        for (size_t n = 0; n < pages[i].count; n++) {
            if (block_label(&pages[i].blocks[n], "at", at, sizeof(at)) && !is_example(pages[i].name))
                fail_msg("%s.md:%d is to be run, and the page is not in the list", pages[i].name,
                         pages[i].blocks[n].line);
        }
        page_free(&pages[i]);
    }
    free(pages);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[EXAMPLES + 1] = {cmocka_unit_test(test_every_page_with_an_example_is_run)};
    size_t n = 1;
    for (size_t i = 0; i < EXAMPLES; i++) {
        if (asked_for(&examples[i], argc, argv))
            tests[n++] =
                (struct CMUnitTest){examples[i].page, test_page, set_up, tear_down, (void *)&examples[i]};
    }
    return _cmocka_run_group_tests("manual", tests, n, NULL, NULL);
}
