// SPDX-License-Identifier: Apache-2.0
// The form of a log line: text with time, level, subsystem, connection and SA; JSON that every reader takes,
// whatever a peer or a file put into it.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "ctrl/lib/log.h"
#include "ctrl/lib/log_journal.h"
#include "ctrl/lib/log_page.h"

static int out[2];
static char line[8192];
static char heard[2048];

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pipe(out), 0);
    log_set_output(out[1]);
    log_set_json(false);
    log_set_time_format("");
    log_set_context("", 0);
    log_set_process("ike");
    log_set_all(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_set_sink(NULL, NULL);
    close(out[0]);
    close(out[1]);
    return 0;
}

static const char *next_line(void)
{
    ssize_t n = read(out[0], line, sizeof(line) - 1);
    assert_true(n > 0 && line[n - 1] == '\n');
    line[n - 1] = 0;
    assert_null(strchr(line, '\n'));
    return line;
}

static void must_match(const char *text, const char *pattern)
{
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&re, text, 0, NULL, 0) != 0)
        fail_msg("\"%s\" is not of the form %s", text, pattern);
    regfree(&re);
}

static void sink(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                 const char *text)
{
    (void)ctx, (void)s, (void)level, (void)ike_id;
    snprintf(heard, sizeof(heard), "%s|%s", ike_name, text);
}

#define UTC "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

static void test_log_text_line_has_time_level_subsystem_connection_and_sa(void **state)
{
    (void)state;
    LOGF(NET, 1, "hello");
    must_match(next_line(), UTC " 1 ike\\[net\\] hello$");
    log_set_context("site", 7);
    LOGF(IKE, 0, "established");
    must_match(next_line(), UTC " 0 ike\\[ike\\] <site\\|7> established$");
}

static void test_log_time_format_is_the_operators(void **state)
{
    (void)state;
    log_set_time_format("%Y at %H o'clock");
    LOGF(CFG, 1, "x");
    must_match(next_line(), "^[0-9]{4} at [0-9]{2} o'clock 1 ike\\[cfg\\] x$");
}

static void test_log_what_is_not_utf8_is_shown_as_question_marks(void **state)
{
    static const char *const cases[][2] = {
        {"plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 end", "plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 end"},
        {"\x80 \xff \xc3 \xe2\x82", "? ? ? ??"},
        {"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "?? ??? ????"}, // written too long
        {"\xed\xa0\x80 \xf4\x90\x80\x80 \xf5", "??? ???? ?"},      // surrogate, beyond U+10FFFF
        {"a\tb\x1b[1m\x7f \xc2\x85", "a?b?[1m? ??"},               // control characters, C1 too
    };
    (void)state;
    log_set_json(true);
    log_set_sink(sink, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        LOGF(IKE, 1, "%s", cases[i][0]);
        json_t *j = json_loads(next_line(), 0, NULL);
        assert_non_null(j);
        assert_string_equal(json_string_value(json_object_get(j, "text")), cases[i][1]);
        assert_string_equal(heard + 1, cases[i][1]);
        json_decref(j);
    }
}

// Its name and number are fields of the one line that is about it, in what a program reads.
static void test_log_of_a_child_sa_has_its_number_as_a_field(void **state)
{
    (void)state;
    int fds[2];
    log_set_json(true);
    log_set_context("site", 7);
    LOGF_CHILD(IKE, 2, "net", 4, "left out"); // of a level that nobody wants: nothing of it stays
    for (int i = 0; i < 3; i++) {
        if (i == 1)
            LOGF_CHILD(IKE, 1, "n\"et", 3, "of the CHILD SA");
        else
            LOGF(IKE, 1, "of the IKE SA");
        json_t *j = json_loads(next_line(), 0, NULL);
        assert_non_null(j);
        assert_int_equal(json_integer_value(json_object_get(j, "ike_id")), 7);
        assert_int_equal(json_integer_value(json_object_get(j, "child_id")), i == 1 ? 3 : 0);
        assert_int_equal(json_object_get(j, "child") != NULL, i == 1);
        if (i == 1)
            assert_string_equal(json_string_value(json_object_get(j, "child")), "n\"et");
        json_decref(j);
    }
    log_set_json(false);
    LOGF_CHILD(IKE, 1, "net", 3, "CHILD_SA net{3} closed");
    must_match(next_line(), UTC " 1 ike\\[ike\\] <site\\|7> CHILD_SA net\\{3\\} closed$");
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    log_set_journal(fds[0]);
    LOGF_CHILD(IKE, 1, "net\n", 3, "closed");
    ssize_t n = read(fds[1], line, sizeof(line) - 1);
    assert_true(n > 0);
    line[n] = 0;
    assert_non_null(strstr(line, "\nESPALIER_CONNECTION=site\nESPALIER_IKE_ID=7\nESPALIER_CHILD=net?\n"
                                 "ESPALIER_CHILD_ID=3\nMESSAGE=closed\n"));
    log_set_json(false);
    log_set_output(out[1]);
    close(fds[0]);
    close(fds[1]);
}

// The protocol's own form: a datagram an entry, a line a field; what is missed is counted by entries.
static void test_log_journal_has_an_entry_a_datagram(void **state)
{
    (void)state;
    static struct log_page page;
    int fds[2];
    unsigned long long before = log_dropped();
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    log_set_journal(fds[0]);
    log_gather(&page);
    log_hold(); // datagrams do not gather
    LOGF(CFG, 0, "first\nPRIORITY=0");
    log_set_context("gw\n", 7);
    LOGF(IKE, 1, "second");
    log_flush();
    log_gather(NULL);
    ssize_t n = read(fds[1], line, sizeof(line) - 1);
    assert_true(n > 0);
    line[n] = 0;
    assert_string_equal(line, "PRIORITY=5\nSYSLOG_IDENTIFIER=espalierd\nESPALIER_PROCESS=ike\n"
                              "ESPALIER_SUBSYSTEM=cfg\nESPALIER_LEVEL=0\nMESSAGE=first?PRIORITY=0\n");
    n = read(fds[1], line, sizeof(line) - 1);
    assert_true(n > 0);
    line[n] = 0;
    assert_string_equal(line, "PRIORITY=6\nSYSLOG_IDENTIFIER=espalierd\nESPALIER_PROCESS=ike\n"
                              "ESPALIER_SUBSYSTEM=ike\nESPALIER_LEVEL=1\nESPALIER_CONNECTION=gw?\n"
                              "ESPALIER_IKE_ID=7\nMESSAGE=second\n");
    close(fds[1]);
    LOGF(IKE, 1, "to nobody");
    LOGF(IKE, 1, "to nobody");
    assert_int_equal(log_dropped() - before, 2);
    close(fds[0]);
    log_set_json(false);
    log_set_output(out[1]);
    LOGF(IKE, 1, "again");
    n = read(out[0], line, sizeof(line) - 1);
    assert_true(n > 0);
    line[n] = 0;
    assert_non_null(strstr(line, "2 lines are missing here"));
}

// Nobody gathers entries: what stands in the page of a room that has died is not the log's, and would be an
// entry by whoever finds it.
static void test_log_journal_takes_nothing_out_of_a_page(void **state)
{
    (void)state;
    static struct log_page page;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
    log_set_journal(fds[0]);
    strcpy(page.text + 1, "SYSLOG_IDENTIFIER=sshd\nMESSAGE=forged\n");
    page.len = (uint32_t)strlen(page.text + 1);
    log_rest(&page);
    assert_int_equal(read(fds[1], line, sizeof(line)), -1);
    assert_int_equal(page.len, 0);
    log_set_json(false);
    log_set_output(out[1]);
    close(fds[0]);
    close(fds[1]);
}

static void test_log_json_is_whole_at_the_longest_line(void **state)
{
    char quotes[3000], name[400];
    (void)state;
    memset(quotes, '"', sizeof(quotes) - 1);
    quotes[sizeof(quotes) - 1] = 0;
    memset(name, '\\', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    log_set_json(true);
    log_set_context(name, 4294967295u);
    LOGF_CHILD(IKE, 1, name, 4294967295u, "%s", quotes);
    json_t *j = json_loads(next_line(), 0, NULL);
    assert_non_null(j);
    assert_int_equal(strspn(json_string_value(json_object_get(j, "text")), "\""), 1023);
    json_decref(j);
    // cut in the middle of a character
    memset(quotes, 'x', 1022);
    memcpy(quotes + 1022, "\xc3\xa4\xc3\xa4", 5);
    LOGF(IKE, 1, "%s", quotes);
    j = json_loads(next_line(), 0, NULL);
    assert_non_null(j);
    json_decref(j);
    log_set_context("na\xffme\xc3", 1);
    LOGF(IKE, 1, "x");
    j = json_loads(next_line(), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(j, "ike")), "na?me?");
    json_decref(j);
}

static void test_log_announcement_is_bare_in_text_and_an_object_in_json(void **state)
{
    (void)state;
    log_set_all(-1);
    log_announce(out[1], "ready");
    assert_string_equal(next_line(), "ready");
    log_set_json(true);
    log_announce(out[1], "ready");
    json_t *j = json_loads(next_line(), 0, NULL);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "text")), "ready");
    json_decref(j);
}

// A full disk takes the beginning of a line alone. It ends where it is, and what follows is whole.
static void test_log_line_that_is_cut_takes_no_other_along(void **state)
{
    char path[] = "/tmp/espalier-log-XXXXXX", text[4096];
    struct rlimit was, small;
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && getrlimit(RLIMIT_FSIZE, &was) == 0);
    signal(SIGXFSZ, SIG_IGN);
    log_set_output(fd);
    LOGF(IKE, 1, "first");
    small = (struct rlimit){(rlim_t)lseek(fd, 0, SEEK_CUR) + 30, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    LOGF(IKE, 1, "second");
    LOGF(IKE, 1, "third");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    LOGF(IKE, 1, "fourth");
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = 0;
    close(fd);
    unlink(path);
    char *at = strtok(text, "\n");
    must_match(at, UTC " 1 ike\\[ike\\] first$");
    at = strtok(NULL, "\n");
    assert_int_equal(strlen(at), 30);
    must_match(strtok(NULL, "\n"), UTC " 0 ike\\[dmn\\] 2 lines are missing here: nobody read them$");
    must_match(strtok(NULL, "\n"), UTC " 1 ike\\[ike\\] fourth$");
    assert_null(strtok(NULL, "\n"));
}

// A file takes every line; a pipe or a socket that nobody reads never holds the process, whatever the log
// went to before.
static void test_log_moved_to_a_reader_that_stands_still_goes_on(void **state)
{
    FILE *file = tmpfile();
    int s[2];
    char text[1000];
    (void)state;
    assert_non_null(file);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    const int to[] = {out[1], s[1]};
    for (unsigned i = 0; i < 2; i++) {
        unsigned long long before = log_dropped();
        log_set_output(fileno(file));
        for (unsigned n = 0; n < 500; n++)
            LOGF(IKE, 1, "%s", text);
        assert_true(log_dropped() == before);
        assert_in_range(lseek(fileno(file), 0, SEEK_END), 500 * (i + 1) * sizeof(text),
                        501 * (i + 1) * (sizeof(text) + 100));
        alarm(20); // a line that waits ends the test
        log_set_output(to[i]);
        for (unsigned n = 0; n < 2000; n++)
            LOGF(IKE, 1, "%s", text);
        alarm(0);
        assert_in_range(log_dropped() - before, 1000, 2000);
    }
    log_set_output(fileno(file));
    LOGF(IKE, 1, "and what is missing has been said");
    close(s[0]);
    close(s[1]);
    fclose(file);
}

// ---- lines that gather

static struct log_page *page_of(int *fd)
{
    *fd = log_page_file();
    assert_true(*fd >= 0);
    struct log_page *p = log_page_map(*fd);
    assert_non_null(p);
    return p;
}

static size_t all_there_is(char *text, size_t size)
{
    assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
    ssize_t n = read(out[0], text, size - 1);
    text[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

static void test_log_lines_that_gather_go_out_at_once_and_in_their_order(void **state)
{
    char text[PIPE_BUF], many[2 * PIPE_BUF];
    int fd;
    (void)state;
    struct log_page *p = page_of(&fd);
    log_gather(p);
    log_hold();
    LOGF(IKE, 1, "first");
    LOGF(IKE, 1, "second");
    assert_int_equal(all_there_is(text, sizeof(text)), 0);
    log_flush();
    assert_true(all_there_is(text, sizeof(text)) > 0);
    must_match(strtok(text, "\n"), UTC " 1 ike\\[ike\\] first$");
    must_match(strtok(NULL, "\n"), UTC " 1 ike\\[ike\\] second$");
    assert_null(strtok(NULL, "\n"));
    log_flush(); // and not once more
    assert_int_equal(all_there_is(text, sizeof(text)), 0);
    LOGF(IKE, 1, "third"); // nobody holds it
    assert_true(all_there_is(text, sizeof(text)) > 0);
    log_hold();
    for (unsigned i = 0; i < 200; i++) // more than a page has room for
        LOGF(IKE, 1, "%u", i);
    log_gather(NULL);
    assert_true(all_there_is(many, sizeof(many)) > PIPE_BUF);
    char *at = strtok(many, "\n");
    for (unsigned i = 0; i < 200; i++, at = strtok(NULL, "\n")) {
        assert_non_null(at);
        assert_int_equal(atoi(strrchr(at, ' ')), i);
    }
    assert_null(at);
    log_page_unmap(p);
    close(fd);
}

// Of whatever it dies: nothing of it runs any more.
static void test_log_lines_of_a_process_that_is_killed_are_not_lost(void **state)
{
    char text[PIPE_BUF];
    int fd, status;
    (void)state;
    struct log_page *p = page_of(&fd);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        log_gather(log_page_map(fd));
        log_hold();
        LOGF(IKE, 1, "what was the matter");
        LOGF(IKE, 0, "the process ends");
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(all_there_is(text, sizeof(text)), 0);
    log_rest(p);
    LOGF(DMN, 0, "ike died");
    assert_true(all_there_is(text, sizeof(text)) > 0);
    must_match(strtok(text, "\n"), " 1 ike\\[ike\\] what was the matter$");
    must_match(strtok(NULL, "\n"), " 0 ike\\[ike\\] the process ends$");
    must_match(strtok(NULL, "\n"), " 0 ike\\[dmn\\] ike died$");
    p->len = UINT32_MAX; // it may have written anything there
    memset(p->text, 'x', sizeof(p->text));
    log_rest(p);
    assert_int_equal(all_there_is(text, sizeof(text)), sizeof(text) - 1);
    LOGF(DMN, 0, "on a line of its own");
    assert_true(all_there_is(text, sizeof(text)) > 0);
    assert_int_equal(text[0], '\n');
    log_page_unmap(p);
    close(fd);
}

static void test_log_page_has_one_length_whoever_has_it(void **state)
{
    int fd;
    (void)state;
    struct log_page *p = page_of(&fd);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 2 * (off_t)sizeof(*p)), -1);
    log_rest(p); // it is there
    log_page_unmap(p);
    close(fd);
}

static void test_log_lines_that_gather_for_a_reader_that_stands_still_are_counted(void **state)
{
    char text[PIPE_BUF], rest[1 << 17];
    int fd;
    (void)state;
    struct log_page *p = page_of(&fd);
    memset(text, 'x', 900);
    text[900] = 0;
    log_gather(p);
    log_hold();
    unsigned long long before = log_dropped();
    alarm(20); // a line that waits ends the test
    for (unsigned n = 0; n < 1000; n++)
        LOGF(IKE, 1, "%s", text);
    log_flush();
    alarm(0);
    unsigned long long missed = log_dropped() - before;
    assert_in_range(missed, 800, 1000);
    unsigned taken = 0;
    for (size_t n = all_there_is(rest, sizeof(rest)), i = 0; i < n; i++)
        taken += rest[i] == '\n';
    assert_int_equal(taken + missed, 1000);
    LOGF(IKE, 1, "there again");
    log_gather(NULL);
    assert_true(all_there_is(rest, sizeof(rest)) > 0);
    snprintf(text, sizeof(text), " %llu lines are missing here: nobody read them$", missed);
    must_match(strtok(rest, "\n"), text);
    must_match(strtok(NULL, "\n"), " 1 ike\\[ike\\] there again$");
    log_page_unmap(p);
    close(fd);
}

// As those that go out one by one (above).
static void test_log_lines_that_gather_are_cut_in_one_alone(void **state)
{
    char path[] = "/tmp/espalier-log-XXXXXX", text[4096];
    struct rlimit was, small;
    int fd;
    (void)state;
    struct log_page *p = page_of(&fd);
    int file = mkstemp(path);
    assert_true(file >= 0 && getrlimit(RLIMIT_FSIZE, &was) == 0);
    signal(SIGXFSZ, SIG_IGN);
    log_set_output(file);
    log_gather(p);
    log_hold();
    LOGF(IKE, 1, "first");
    LOGF(IKE, 1, "second");
    LOGF(IKE, 1, "third");
    small = (struct rlimit){strlen("2026-11-30T00:00:00.000Z 1 ike[ike] first\n") + 30, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    log_flush();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    LOGF(IKE, 1, "fourth");
    log_gather(NULL);
    ssize_t n = pread(file, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = 0;
    close(file);
    unlink(path);
    must_match(strtok(text, "\n"), UTC " 1 ike\\[ike\\] first$");
    assert_int_equal(strlen(strtok(NULL, "\n")), 30);
    must_match(strtok(NULL, "\n"), UTC " 0 ike\\[dmn\\] 2 lines are missing here: nobody read them$");
    must_match(strtok(NULL, "\n"), UTC " 1 ike\\[ike\\] fourth$");
    assert_null(strtok(NULL, "\n"));
    log_page_unmap(p);
    close(fd);
}

static void *log_aside(void *fd)
{
    log_set_output(*(int *)fd);
    log_set_process("aside");
    log_set_context("theirs", 7);
    log_set_all(2);
    LOGF(IKE, 2, "of the other thread");
    return NULL;
}

static void test_log_of_another_thread_is_its_own(void **state)
{
    char theirs[256];
    int other[2];
    pthread_t thread;
    (void)state;
    assert_int_equal(pipe(other), 0);
    assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0); // a line that went elsewhere is not waited for
    log_set_context("ours", 1);
    assert_int_equal(pthread_create(&thread, NULL, log_aside, &other[1]), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    LOGF(IKE, 2, "too fine");
    LOGF(IKE, 1, "of this thread");
    must_match(next_line(), " 1 ike\\[ike\\] <ours\\|1> of this thread$");
    ssize_t n = read(other[0], theirs, sizeof(theirs) - 1);
    assert_true(n > 1);
    theirs[n - 1] = 0;
    must_match(theirs, " 2 aside\\[ike\\] <theirs\\|7> of the other thread$");
    close(other[0]);
    close(other[1]);
}

static unsigned worked_out, asked;

static const char *dear(void)
{
    worked_out++;
    return "dear";
}

static bool every_second_one(void *ctx)
{
    (void)ctx;
    errno = EDOM; // of its own
    return ++asked % 2 == 0;
}

static void test_log_line_that_is_left_out_is_not_worked_out(void **state)
{
    (void)state;
    worked_out = asked = 0;
    LOGF(NET, 2, "%s", dear());
    assert_int_equal(worked_out, 0);
    log_set_gate(every_second_one, NULL);
    LOGF(NET, 2, "%s", dear());
    assert_int_equal(asked, 0); // what nobody wants takes no token
    LOGF(NET, 1, "%s", dear());
    assert_int_equal(asked, 1);
    assert_int_equal(worked_out, 0);
    errno = ENOENT;
    LOGF(NET, 1, "%s: %d", dear(), errno);
    log_set_gate(NULL, NULL);
    assert_int_equal(asked, 2);
    assert_int_equal(worked_out, 1);
    must_match(next_line(), " 1 ike\\[net\\] dear: 2$");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log_moved_to_a_reader_that_stands_still_goes_on, setup,
                                        teardown), // the first: nothing has been written before
        cmocka_unit_test_setup_teardown(test_log_text_line_has_time_level_subsystem_connection_and_sa, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_log_line_that_is_cut_takes_no_other_along, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_time_format_is_the_operators, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_what_is_not_utf8_is_shown_as_question_marks, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_log_journal_has_an_entry_a_datagram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_of_a_child_sa_has_its_number_as_a_field, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_journal_takes_nothing_out_of_a_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_json_is_whole_at_the_longest_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_announcement_is_bare_in_text_and_an_object_in_json, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_log_lines_that_gather_go_out_at_once_and_in_their_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_log_lines_of_a_process_that_is_killed_are_not_lost, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_log_page_has_one_length_whoever_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_lines_that_gather_for_a_reader_that_stands_still_are_counted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_lines_that_gather_are_cut_in_one_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_line_that_is_left_out_is_not_worked_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_of_another_thread_is_its_own, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
