// SPDX-License-Identifier: Apache-2.0
// The card's entries in DIR: libpci finds the card there, a second process is kept out, what a killed process
// left is taken over, and nothing stays behind. Also the command line, refusal by refusal.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <pci/pci.h>

#include "sim/card/options.h"
#include "sim/card/tree.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/card-tree-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(dir); // fails the test when anything is left in it
}

static void publish(struct card_tree *t, struct pci_config *c)
{
    pci_config_init(c, 4, CARD_PCI_SERIAL_BASE);
    assert_int_equal(card_tree_lock(t, dir), 0);
    assert_int_equal(card_tree_publish(t, c->space), 0);
}

static bool exists(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void test_libpci_finds_the_card_with_its_bar_and_capabilities(void **state)
{
    (void)state;
    struct card_tree t;
    struct pci_config c;
    publish(&t, &c);
    struct pci_access *acc = pci_alloc();
    char param[] = "sysfs.path";
    acc->method = PCI_ACCESS_SYS_BUS_PCI;
    pci_set_param(acc, param, dir);
    pci_init(acc);
    pci_scan_bus(acc);
    struct pci_dev *d = acc->devices;
    assert_non_null(d);
    assert_null(d->next);
    pci_fill_info(d, PCI_FILL_IDENT | PCI_FILL_CLASS | PCI_FILL_BASES | PCI_FILL_SIZES | PCI_FILL_CAPS |
                         PCI_FILL_EXT_CAPS);
    assert_int_equal(d->vendor_id, CARD_PCI_VENDOR);
    assert_int_equal(d->device_id, CARD_PCI_DEVICE);
    assert_int_equal(d->device_class, CARD_PCI_CLASS >> 8);
    assert_int_equal(d->bus, 1);
    assert_int_equal(d->base_addr[0] & PCI_ADDR_MEM_MASK, CARD_PCI_BAR0_ADDRESS);
    assert_int_equal(d->size[0], CARD_PCI_BAR0_SIZE);
    assert_int_equal(d->size[1], 0);
    assert_non_null(pci_find_cap(d, PCI_CAP_ID_MSIX, PCI_CAP_NORMAL));
    assert_non_null(pci_find_cap(d, PCI_CAP_ID_EXP, PCI_CAP_NORMAL));
    assert_non_null(pci_find_cap(d, PCI_CAP_ID_PM, PCI_CAP_NORMAL));
    assert_non_null(pci_find_cap(d, PCI_EXT_CAP_ID_DSN, PCI_CAP_EXTENDED));
    // the file follows the live space
    c.space[4] = 6;
    card_tree_update_config(&t, c.space);
    assert_int_equal(pci_read_word(d, PCI_COMMAND), 6);
    pci_cleanup(acc);
    card_tree_close(&t);
    assert_false(exists("devices"));
}

static void test_sockets_take_connections_and_vanish_with_the_tree(void **state)
{
    (void)state;
    struct card_tree t;
    struct pci_config c;
    publish(&t, &c);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s/devices/0000:01:00.0/vfio-user.sock", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), ctl = card_tree_connect_control(dir);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_true(ctl >= 0);
    close(fd);
    close(ctl);
    card_tree_close(&t);
    assert_int_equal(card_tree_connect_control(dir), -ENOENT);
}

static void test_second_process_is_kept_out_by_name(void **state)
{
    (void)state;
    struct card_tree t, second;
    struct pci_config c;
    publish(&t, &c);
    assert_int_equal(card_tree_lock(&second, dir), -EBUSY);
    assert_non_null(strstr(second.error, dir));
    card_tree_close(&second);
    assert_true(exists("devices/0000:01:00.0/config"));
    card_tree_close(&t);
}

static void test_remains_of_a_killed_process_are_taken_over(void **state)
{
    (void)state;
    struct card_tree t, next;
    struct pci_config c;
    publish(&t, &c);
    t.made = 0; // as if killed: descriptors go, files stay
    card_tree_close(&t);
    assert_true(exists("devices/0000:01:00.0/vfio-user.sock"));
    assert_int_equal(card_tree_connect_control(dir), -ECONNREFUSED);
    publish(&next, &c);
    int ctl = card_tree_connect_control(dir);
    assert_true(ctl >= 0);
    close(ctl);
    card_tree_close(&next);
}

static void test_foreign_file_in_the_device_is_named_and_kept(void **state)
{
    (void)state;
    struct card_tree t;
    char path[256];
    snprintf(path, sizeof path, "%s/devices", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/devices/0000:01:00.0", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/devices/0000:01:00.0/notes", dir);
    fclose(fopen(path, "w"));
    assert_true(card_tree_lock(&t, dir) < 0);
    assert_non_null(strstr(t.error, "not this program's"));
    card_tree_close(&t);
    snprintf(path, sizeof path, "%s/.new-0000:01:00.0/notes", dir);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/.new-0000:01:00.0", dir);
    assert_int_equal(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/devices", dir);
    assert_int_equal(rmdir(path), 0);
}

static void test_long_directory_works(void **state)
{
    (void)state;
    char path[400];
    struct card_tree t;
    struct pci_config c;
    pci_config_init(&c, 4, 0);
    snprintf(path, sizeof path, "%s/%0200d", dir, 7);
    assert_int_equal(card_tree_lock(&t, path), 0);
    assert_int_equal(card_tree_publish(&t, c.space), 0);
    int ctl = card_tree_connect_control(path);
    assert_true(ctl >= 0);
    close(ctl);
    card_tree_close(&t);
    assert_int_equal(rmdir(path), 0);
}

static void test_command_line_refusals_name_the_option(void **state)
{
    (void)state;
    static const struct {
        const char *words[6];
        int status;
        const char *text;
    } cases[] = {
        {{"--dir", "x"}, EXIT_DONE, ""},
        {{"--dir", "x", "--lanes", "4", "--sas=64"}, EXIT_DONE, ""},
        {{"--dir", "x", "--fst", "f", "--window", "10:20"}, EXIT_DONE, ""},
        {{"--lanes", "1"}, EXIT_USAGE, "--dir DIR is needed"},
        {{"--dir", "x", "--lanes", "2"}, EXIT_MISSING, "--lanes 2"},
        {{"--dir", "x", "--lanes", "8"}, EXIT_USAGE, "--lanes 8"},
        {{"--dir", "x", "--sas", "0"}, EXIT_USAGE, "--sas 0"},
        {{"--dir", "x", "--sas", "-1"}, EXIT_USAGE, "--sas -1"},
        {{"--dir", "x", "--sas", "9z"}, EXIT_USAGE, "--sas 9z"},
        {{"--dir", "x", "--wire", "loop"}, EXIT_MISSING, "--wire loop"},
        {{"--dir", "x", "--wire", "tap:t0"}, EXIT_MISSING, "--wire tap:t0"},
        {{"--dir", "x", "--wire", "pcap:a,b"}, EXIT_MISSING, "--wire pcap:a,b"},
        {{"--dir", "x", "--wire", "pcap:a,"}, EXIT_USAGE, "--wire pcap:a,"},
        {{"--dir", "x", "--wire", "tap:"}, EXIT_USAGE, "--wire tap:"},
        {{"--dir", "x", "--window", "1:2"}, EXIT_USAGE, "--window needs --fst"},
        {{"--dir", "x", "--window", "2:2"}, EXIT_USAGE, "--window 2:2"},
        {{"--dir", "x", "extra"}, EXIT_USAGE, "extra"},
        {{"--dir", "x", "--verbose"}, EXIT_USAGE, "--verbose"},
        {{"--dir"}, EXIT_USAGE, "--dir: needs a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[6][32], *argv[8] = {words[0]};
        int argc = 1, help;
        char name[] = "espalier-card";
        argv[0] = name;
        for (size_t w = 0; w < 6 && cases[i].words[w]; w++) {
            strcpy(words[w], cases[i].words[w]);
            argv[argc++] = words[w];
        }
        argv[argc] = NULL;
        struct card_options o;
        assert_int_equal(card_options_parse(&o, argc, argv, &help), cases[i].status);
        assert_non_null(strstr(o.error, cases[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_libpci_finds_the_card_with_its_bar_and_capabilities),
        T(test_sockets_take_connections_and_vanish_with_the_tree),
        T(test_second_process_is_kept_out_by_name),
        T(test_remains_of_a_killed_process_are_taken_over),
        T(test_foreign_file_in_the_device_is_named_and_kept),
        T(test_long_directory_works),
        cmocka_unit_test(test_command_line_refusals_name_the_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
