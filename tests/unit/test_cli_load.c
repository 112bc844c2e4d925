// SPDX-License-Identifier: Apache-2.0
// espalier load and check: what goes to the daemon and in which order, what does not go where the file has a
// fault, passwords, and what is refused.
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/unit/cli_rig.h"
#include "tests/unit/cred_dir.h"

static const char *file;

static int begin(void **state)
{
    static char path[300];
    if (cli_rig_begin(state) != 0)
        return -1;
    pki_files_begin();
    unsetenv("SWANCTL_DIR");
    snprintf(path, sizeof(path), "%s/swanctl.conf", pki_files_dir());
    file = path;
    return 0;
}

static int end(void **state)
{
    pki_files_end();
    return cli_rig_end(state);
}

#define CONN(name)                                                                                           \
    "connections { " name                                                                                    \
    " {\n remote_addrs = 192.0.2.2\n local { auth = psk\n }\n remote { auth = psk\n }\n"                     \
    " children { net { remote_ts = 10.2.0.0/16\n } } } }\n"
#define SECRET "secrets { ike-a { id = a.example\n secret = \"verysecret\"\n } }\n"

// It has what an earlier file has brought.
static void loaded_before(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    (void)args;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    if (strcmp(command, "get-pools") == 0) {
        vici_section(&o, "oldpool");
        vici_section_end(&o);
        fake_send(f, &o);
        return;
    }
    if (strncmp(command, "get-", 4) == 0) {
        bool conns = strcmp(command, "get-conns") == 0, shared = strcmp(command, "get-shared") == 0;
        vici_list(&o, conns ? "conns" : strcmp(command, "get-authorities") == 0 ? "authorities" : "keys");
        vici_item(&o, conns ? "gw" : shared ? "ike-a" : "old");
        vici_item(&o, "older");
        vici_list_end(&o);
        fake_send(f, &o);
        return;
    }
    vici_out_free(&o);
    fake_ok(f);
}

static void test_load_sends_in_swanctls_order_and_unloads_what_the_file_has_not(void **state)
{
    (void)state;
    pki_write("swanctl.conf", "%s",
              CONN("gw") SECRET "pools { road { addrs = 10.8.0.0/24\n dns = 10.8.0.1, 10.8.0.2\n } }\n");
    fake_start(loaded_before, NULL);
    assert_int_equal(espalier("load", file, "--clear", NULL), CLI_DONE);
    assert_string_equal(fake_heard(),
                        "clear-creds\n"
                        "get-keys\n"
                        "get-shared from=0\n"
                        "load-shared id=ike-a type=ike data=verysecret owners=[a.example]\n"
                        "unload-key id=old\n"
                        "unload-key id=older\n"
                        "unload-shared id=older\n"
                        "get-authorities\n"
                        "unload-authority name=old\n"
                        "unload-authority name=older\n"
                        "get-pools\n"
                        "load-pool road{ addrs=10.8.0.0/24 dns=[10.8.0.1,10.8.0.2] }\n"
                        "unload-pool name=oldpool\n"
                        "get-conns\n"
                        "load-conn gw{ remote_addrs=[192.0.2.2] local{ auth=psk } remote{ auth=psk } "
                        "children{ net{ remote_ts=[10.2.0.0/16] } } }\n"
                        "unload-conn name=older\n"
                        "list-sas noblock=yes\n");
    shows("loaded connection 'gw'\n");
    shows("unloaded pool 'oldpool'\n");
    shows("0 certificates, 0 private keys, 1 secret, 0 authorities, 1 pool, 1 connection loaded\n");
    assert_null(strstr(cli_out, "verysecret"));
    assert_null(strstr(cli_err, "verysecret"));
}

static void test_load_of_a_faulty_file_asks_the_daemon_nothing_and_names_every_fault(void **state)
{
    json_error_t why;
    (void)state;
    pki_write("swanctl.conf", "%s",
              CONN("gw") "connections { bad { proposals = aes999\n frobnicate = 1\n } }\nx {\n");
    fake_start(loaded_before, NULL);
    assert_int_equal(espalier("load", file, NULL), CLI_USAGE);
    assert_string_equal(fake_heard(), "");
    says("swanctl.conf:9: ");
    says("aes999");
    says("swanctl.conf:10: ");
    says("unknown option: frobnicate");
    says("nothing is loaded, and what was stays\n");
    assert_int_equal(espalier("load", file, "--json", NULL), CLI_USAGE);
    json_t *doc = json_loads(cli_out, 0, &why);
    assert_non_null(doc);
    assert_true(json_array_size(json_object_get(doc, "faults")) >= 3);
    assert_null(json_object_get(doc, "loaded"));
    json_decref(doc);
    assert_int_equal(espalier("load", "/nonexistent/swanctl.conf", NULL), CLI_USAGE);
    assert_string_equal(fake_heard(), "");
    says("/nonexistent/swanctl.conf");
}

// An espalierd with more secrets than a reply holds, two of which the file has not.
static void with_pages(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    bool version = strcmp(command, "version") == 0, shared = strcmp(command, "get-shared") == 0;
    if (!version && !shared) {
        fake_ok(f);
        return;
    }
    bool first = shared && strcmp(vici_get(args, "from"), "0") == 0;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    if (version) {
        vici_put(&o, "daemon", "espalierd");
    } else {
        vici_list(&o, "keys");
        vici_item(&o, first ? "ike-7" : "ike-8");
        vici_item(&o, first ? "gone-first" : "gone-last");
        vici_list_end(&o);
    }
    if (first)
        vici_put(&o, "next", "77");
    fake_send(f, &o);
}

static void test_load_of_many_secrets_keeps_their_order_and_sees_all_that_there_are(void **state)
{
    enum { MANY = 100 };
    FILE *text;
    char *all = NULL, line[100];
    size_t size;
    (void)state;
    assert_non_null(text = open_memstream(&all, &size));
    for (int i = 0; i < MANY; i++)
        fprintf(text, " ike-%d { id = d%d.example\n secret = s%d\n }\n", i, i, i);
    assert_int_equal(fclose(text), 0);
    pki_write("swanctl.conf", "secrets {\n%s}\n", all);
    free(all);
    fake_start(with_pages, NULL);
    assert_int_equal(espalier("load", file, NULL), CLI_DONE);
    const char *at = fake_heard();
    assert_memory_equal(at, "version\n", 8);
    assert_non_null(strstr(at, "get-shared from=0\nget-shared from=77\nload-shared id=ike-0 "));
    for (int i = 0; i < MANY; i++) {
        snprintf(line, sizeof(line), "load-shared id=ike-%d type=ike data=s%d owners=[d%d.example]\n", i, i,
                 i);
        at = strstr(at, line);
        assert_non_null(at);
    }
    assert_non_null(strstr(at, "unload-shared id=gone-first\nunload-shared id=gone-last\nget-authorities\n"));
    shows("100 secrets, ");
}

// Its process of the secrets dies between the two pages, once.
static void with_pages_of_two_lives(struct fake *f, const char *command, const struct vici_node *args)
{
    static bool died;
    const char *from = vici_get(args, "from");
    if (strcmp(command, "get-shared") == 0 && strcmp(from, "77") == 0 && !died) {
        died = true;
        fake_refuse(f, "keys has been started again, and numbers them anew: ask from 0 once more");
        return;
    }
    with_pages(f, command, args);
}

static void test_load_asks_once_more_for_secrets_that_have_been_numbered_anew(void **state)
{
    (void)state;
    pki_write("swanctl.conf", "%s", CONN("gw") SECRET);
    fake_start(with_pages_of_two_lives, NULL);
    assert_int_equal(espalier("load", file, NULL), CLI_DONE);
    const char *heard = fake_heard();
    assert_non_null(strstr(heard, "get-shared from=0\nget-shared from=77\nget-shared from=0\n"
                                  "get-shared from=77\nload-shared"));
    assert_non_null(strstr(heard, "unload-shared id=gone-first\n"));
    assert_non_null(strstr(heard, "unload-shared id=gone-last\n"));
}

// Three IKE SAs: of one that was edited, of one whose peer has to begin, and one with CHILD SAs of each kind.
static void put_sa(struct fake *f, const char *conn, const char *id, const char *stays, bool children)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_EVENT, "list-sa");
    vici_section(&o, conn);
    vici_put(&o, "uniqueid", id);
    if (!children) {
        vici_put(&o, "edition", "edited");
        if (stays)
            vici_put(&o, "stays", stays);
    }
    vici_section(&o, "child-sas");
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof(name), "net-%d", i);
        vici_section(&o, name);
        vici_put(&o, "name", "net");
        vici_putf(&o, "uniqueid", "%d", 70 + i);
        if (i)
            vici_put(&o, "edition", "edited");
        if (i == 2)
            vici_put(&o, "stays", "its child is loaded no more");
        vici_section_end(&o);
    }
    vici_section_end(&o);
    vici_section_end(&o);
    fake_send(f, &o);
}

static void with_sas(struct fake *f, const char *command, const struct vici_node *args)
{
    if (strcmp(command, "list-sas") == 0) {
        put_sa(f, "gw", "1", NULL, false);
        put_sa(f, "rw", "2", "the peer has to begin", false);
        put_sa(f, "hub", "3", NULL, true);
    }
    if (strcmp(command, "rekey") == 0 && vici_get(args, "child-id"))
        fake_refuse(f, "no matching SAs to rekey found"); // it has gone meanwhile
    else
        fake_ok(f);
}

static void test_load_makes_anew_what_can_be_and_ends_the_rest_where_it_is_asked_for(void **state)
{
    json_error_t why;
    (void)state;
    pki_write("swanctl.conf", "%s", CONN("gw"));
    fake_start(with_sas, NULL);
    assert_int_equal(espalier("load", file, NULL), CLI_DONE);
    const char *at = strstr(fake_heard(), "list-sas");
    assert_non_null(at);
    assert_string_equal(at, "list-sas noblock=yes\nrekey ike-id=1 reauth=yes\nrekey child-id=71 anew=yes\n");
    shows("IKE_SA gw[1]: was made by what has been edited, and is made anew\n");
    shows("IKE_SA rw[2]: goes on as it was made, unless --apply ends it: the peer has to begin\n");
    shows("CHILD_SA hub/net[72]: goes on as it was made, unless --apply ends it: its child is loaded no "
          "more\n");
    assert_int_equal(espalier("load", file, "--apply", "--json", NULL), CLI_DONE);
    at = strstr(fake_heard(), "list-sas");
    assert_non_null(at);
    assert_string_equal(at, "list-sas noblock=yes\n"
                            "rekey ike-id=1 reauth=yes\n"
                            "terminate ike-id=2 timeout=-1\n"
                            "rekey child-id=71 anew=yes\n"
                            "terminate child-id=72 timeout=-1\n");
    json_t *doc = json_loads(cli_out, 0, &why);
    assert_non_null(doc);
    assert_int_equal(json_array_size(json_object_get(doc, "sas")), 3);
    json_decref(doc);
}

// What is refused keeps its former edition: nobody ends what that protects for its sake.
static void refusing_with_sas(struct fake *f, const char *command, const struct vici_node *args)
{
    if (strcmp(command, "load-conn") == 0)
        fake_refuse(f, "not this one");
    else
        with_sas(f, command, args);
}

static void test_load_that_is_refused_in_part_touches_no_sa(void **state)
{
    (void)state;
    pki_write("swanctl.conf", "%s", CONN("gw"));
    fake_start(refusing_with_sas, NULL);
    assert_int_equal(espalier("load", file, "--apply", NULL), CLI_FAILED);
    assert_null(strstr(fake_heard(), "list-sas"));
}

static void comparing(struct fake *f, const char *command, const struct vici_node *args)
{
    struct vici_out o;
    if (strcmp(command, "compare-conn") != 0) {
        loaded_before(f, command, args);
        return;
    }
    if (strcmp(args->child->name, "bad") == 0) {
        fake_refuse(f, "no such thing");
        return;
    }
    bool gw = strcmp(args->child->name, "gw") == 0;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", "yes");
    vici_put(&o, "loaded", strcmp(args->child->name, "fresh") == 0 ? "no" : "yes");
    vici_list(&o, "keys");
    if (gw) {
        vici_item(&o, "remote_addrs");
        vici_item(&o, "children.net.esp_proposals");
    }
    vici_list_end(&o);
    fake_send(f, &o);
}

static void test_dry_run_shows_what_a_load_would_change_and_changes_nothing(void **state)
{
    json_error_t why;
    (void)state;
    pki_write("swanctl.conf", "%s", CONN("gw") CONN("same") CONN("fresh") SECRET);
    fake_start(comparing, NULL);
    assert_int_equal(espalier("load", file, "--dry-run", NULL), CLI_DONE);
    const char *heard = fake_heard();
    assert_null(strstr(heard, "load-"));
    assert_null(strstr(heard, "verysecret"));
    shows("would unload secret 'older'\n");
    shows("would edit connection 'gw': remote_addrs, children.net.esp_proposals\n");
    shows("would load connection 'fresh'\n");
    shows("would unload connection 'older'\n");
    assert_null(strstr(cli_out, "'same'"));
    assert_null(strstr(cli_out, "'ike-a'"));
    assert_int_equal(espalier("load", file, "--dry-run", "--json", NULL), CLI_DONE);
    json_t *doc = json_loads(cli_out, 0, &why);
    assert_non_null(doc);
    assert_int_equal(json_array_size(json_object_get(json_object_get(doc, "edited"), "gw")), 2);
    json_decref(doc);
    pki_write("swanctl.conf", "%s", CONN("bad"));
    assert_int_equal(espalier("load", file, "--dry-run", NULL), CLI_FAILED);
    says("espalier: connection 'bad' would be refused: no such thing\n");
    assert_int_equal(espalier("load", file, "--dry-run", "--apply", NULL), CLI_USAGE);
}

static void refusing_one(struct fake *f, const char *command, const struct vici_node *args)
{
    if (strcmp(command, "load-conn") == 0 && strcmp(args->child->name, "gw") == 0)
        fake_refuse(f, "not this one");
    else
        loaded_before(f, command, args);
}

static void test_load_goes_on_behind_what_the_daemon_refuses_and_exits_1(void **state)
{
    (void)state;
    pki_write("swanctl.conf", "%s", CONN("gw") CONN("second"));
    fake_start(refusing_one, NULL);
    assert_int_equal(espalier("load", file, NULL), CLI_FAILED);
    says("espalier: loading connection 'gw' failed: not this one\n");
    shows("loaded connection 'second'\n");
    const char *asked = fake_heard();
    assert_non_null(strstr(asked, "load-conn second{"));
    assert_null(strstr(asked, "unload-conn name=gw")); // the file has it
    assert_int_equal(espalier("load", file, "--json", NULL), CLI_FAILED);
    json_t *doc = json_loads(cli_out, 0, NULL), *refused = json_object_get(doc, "refused");
    assert_int_equal(json_array_size(refused), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(refused, 0), "error")),
                        "not this one");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(json_object_get(doc, "loaded"), "connections"), 0)),
        "second");
    json_decref(doc);
}

// ---- credentials

static void test_load_sends_every_credential_decrypted(void **state)
{
    (void)state;
    cred_dir_make();
    pki_write("swanctl.conf", "%s",
              "secrets { pkcs8-n { file = north.pem\n secret = geheim\n }\n private-w { file = westenc.pem\n "
              "secret = sesam\n }\n "
              "pkcs12-e { file = east.p12\n secret = p12\n } }\n");
    fake_start(loaded_before, NULL);
    assert_int_equal(espalier("load", file, NULL), CLI_DONE);
    const char *asked = fake_heard();
    shows("9 certificates, 6 private keys, 0 secrets");
    assert_non_null(strstr(asked, "load-cert type=X509 flag=CA data=("));
    assert_non_null(strstr(asked, "load-cert type=X509 flag=NONE data=("));
    assert_non_null(strstr(asked, "load-cert type=X509_CRL data=("));
    assert_non_null(strstr(asked, "load-cert type=PUBKEY data=("));
    assert_non_null(strstr(asked, "load-key type=any data=("));
    assert_null(strstr(asked, "geheim"));
    char line[80];
    snprintf(line, sizeof(line), "loaded private key '%s'\n", cred_dir_key_id("north"));
    shows(line);
}

// In a session without a terminal (tty < 0) or with that one; what it said is in *said.
static int load_in_session(int tty, char *said, size_t size)
{
    int pipe_fd[2], status;
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        if (tty >= 0)
            ioctl(tty, TIOCSCTTY, 0);
        int rc = espalier("load", file, NULL);
        dprintf(pipe_fd[1], "%s%s", cli_out, cli_err);
        _exit(rc);
    }
    close(pipe_fd[1]);
    size_t n = 0;
    for (ssize_t got; n + 1 < size && (got = read(pipe_fd[0], said + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    said[n] = 0;
    close(pipe_fd[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void only_encrypted_key(void)
{
    pki_run("rm -rf x509* pubkey private rsa ecdsa pkcs12 && rm -f pkcs8/* && "
            "openssl pkcs8 -topk8 -in made/north.key -passout pass:geheim -out pkcs8/north.pem");
    pki_write("swanctl.conf", "%s", CONN("gw"));
}

static void test_load_without_a_terminal_refuses_an_encrypted_key_by_name(void **state)
{
    char said[4096];
    (void)state;
    cred_dir_make();
    only_encrypted_key();
    fake_start(loaded_before, NULL);
    assert_int_equal(load_in_session(-1, said, sizeof(said)), CLI_USAGE);
    assert_non_null(
        strstr(said, "pkcs8/north.pem: pkcs8: the key is encrypted, no section pkcs8* of secrets has its "
                     "file, and there is no terminal to ask on"));
    assert_string_equal(fake_heard(), "");
}

// What comes to the terminal, until it has `text`.
static void terminal_shows(int master, char *seen, size_t size, const char *text)
{
    size_t n = strlen(seen);
    while (!strstr(seen, text)) {
        ssize_t got = read(master, seen + n, size - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
        seen[n] = 0;
    }
}

static void test_load_asks_for_a_password_on_the_terminal_and_does_not_show_it(void **state)
{
    char said[4096], seen[4096] = "";
    int master, slave, status;
    (void)state;
    cred_dir_make();
    only_encrypted_key();
    fake_start(loaded_before, NULL);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    pid_t loader = fork();
    if (loader == 0) {
        int rc = load_in_session(slave, said, sizeof(said));
        _exit(rc == CLI_DONE && strstr(said, "1 private key,") ? 0 : 9);
    }
    terminal_shows(master, seen, sizeof(seen), "/pkcs8/north.pem: ");
    assert_int_equal(write(master, "wrong\n", 6), 6);
    seen[0] = 0;
    terminal_shows(master, seen, sizeof(seen), "/pkcs8/north.pem: "); // once more
    assert_null(strstr(seen, "wrong"));
    assert_int_equal(write(master, "geheim\n", 7), 7);
    assert_int_equal(waitpid(loader, &status, 0), loader);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_non_null(strstr(fake_heard(), "load-key type=any data=("));
    close(master);
    close(slave);
}

static void test_load_interrupted_at_a_password_leaves_the_terminal_as_it_was(void **state)
{
    char said[4096], seen[4096] = "";
    struct termios before, after;
    int master, slave, status;
    (void)state;
    cred_dir_make();
    only_encrypted_key();
    fake_start(loaded_before, NULL);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    tcgetattr(slave, &before);
    pid_t loader = fork();
    if (loader == 0) {
        signal(SIGINT, SIG_DFL); // a shell's background has it ignored
        _exit(load_in_session(slave, said, sizeof(said)) == -1 ? 0 : 9); // by a signal
    }
    terminal_shows(master, seen, sizeof(seen), "/pkcs8/north.pem: ");
    assert_int_equal(write(master, "\x03", 1), 1);
    assert_int_equal(waitpid(loader, &status, 0), loader);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    tcgetattr(slave, &after);
    assert_true(before.c_lflag & ECHO);
    assert_int_equal(after.c_lflag, before.c_lflag);
    assert_string_equal(fake_heard(), "");
    close(master);
    close(slave);
}

// ---- check

static void test_check_says_what_the_daemons_check_says_and_needs_no_daemon(void **state)
{
    char *const argv[] = {"espalier", "check", (char *)(uintptr_t)file, "--json", NULL};
    char daemons[4096];
    (void)state;
    pki_write("swanctl.conf", "%s", CONN("gw") SECRET);
    assert_int_equal(espalier_plain(3, argv), CLI_DONE);
    shows("swanctl.conf: 1 connection, 1 secret, no fault\n");
    pki_write("swanctl.conf", "%s",
              CONN("gw") "connections { bad { proposals = aes999\n frobnicate = 1\n } }\n");
    assert_int_equal(espalier_plain(3, argv), CLI_USAGE);
    shows("swanctl.conf: 4 faults\n");
    setenv("FILE", file, 1);
    FILE *f = popen("exec ${BUILD:-build}/bin/espalierd --check $FILE", "r");
    size_t n = fread(daemons, 1, sizeof(daemons) - 1, f);
    daemons[n] = 0;
    assert_int_equal(WEXITSTATUS(pclose(f)), 2);
    assert_string_equal(cli_out, daemons);
    assert_int_equal(espalier_plain(4, argv), CLI_USAGE);
    json_t *doc = json_loads(cli_out, 0, NULL), *first = json_array_get(json_object_get(doc, "files"), 0);
    assert_int_equal(json_array_size(json_object_get(first, "faults")), 4);
    assert_int_equal(json_integer_value(json_object_get(first, "connections")), 1);
    json_decref(doc);
    setenv("SWANCTL_DIR", pki_files_dir(), 1);
    assert_int_equal(espalier_plain(2, argv), CLI_USAGE); // the same file
    shows("aes999");
    unsetenv("SWANCTL_DIR");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_load_sends_in_swanctls_order_and_unloads_what_the_file_has_not),
        T(test_load_of_a_faulty_file_asks_the_daemon_nothing_and_names_every_fault),
        T(test_load_goes_on_behind_what_the_daemon_refuses_and_exits_1),
        T(test_load_asks_once_more_for_secrets_that_have_been_numbered_anew),
        T(test_load_makes_anew_what_can_be_and_ends_the_rest_where_it_is_asked_for),
        T(test_load_that_is_refused_in_part_touches_no_sa),
        T(test_dry_run_shows_what_a_load_would_change_and_changes_nothing),
        T(test_load_of_many_secrets_keeps_their_order_and_sees_all_that_there_are),
        T(test_load_sends_every_credential_decrypted),
        T(test_load_without_a_terminal_refuses_an_encrypted_key_by_name),
        T(test_load_asks_for_a_password_on_the_terminal_and_does_not_show_it),
        T(test_load_interrupted_at_a_password_leaves_the_terminal_as_it_was),
        T(test_check_says_what_the_daemons_check_says_and_needs_no_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
