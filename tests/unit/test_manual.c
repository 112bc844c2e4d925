// SPDX-License-Identifier: Apache-2.0
// The manual's text: links lead somewhere, blocks say what is done with them, messages that it quotes are the
// programs' own. That the examples do what they say is system_manual's.
#include <ctype.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/manual_pages.h"

static struct page *pages;
static size_t page_count;

static int up(void **state)
{
    (void)state;
    pages = pages_read(&page_count);
    return pages ? 0 : -1;
}

static int down(void **state)
{
    (void)state;
    for (size_t i = 0; i < page_count; i++)
        page_free(&pages[i]);
    free(pages);
    return 0;
}

static char *file_text(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    if (!f)
        return NULL;
    if (getdelim(&text, &size, 0, f) < 0)
        text[0] = 0;
    fclose(f);
    return text;
}

// ---- links

// As GitHub makes anchors of headings: small letters, spaces to hyphens, punctuation away.
static void slug_of(const char *heading, size_t len, char *slug, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < size; i++) {
        unsigned char c = (unsigned char)heading[i];
        if (isalnum(c) || c == '-' || c == '_' || c >= 0x80)
            slug[n++] = (char)tolower(c);
        else if (c == ' ')
            slug[n++] = '-';
    }
    slug[n] = 0;
}

static bool has_heading(const char *text, const char *anchor)
{
    char slug[200];
    bool code = false;
    for (const char *at = text, *end; *at; at = *end ? end + 1 : end) {
        end = strchrnul(at, '\n');
        code ^= strncmp(at, "```", 3) == 0;
        if (code || at[0] != '#')
            continue;
        size_t level = strspn(at, "#");
        slug_of(at + level + 1, (size_t)(end - at) - level - 1, slug, sizeof(slug));
        if (strcmp(slug, anchor) == 0)
            return true;
    }
    return false;
}

static bool leads_somewhere(const struct page *p, const char *target)
{
    char path[400], *anchor;
    if (target[0] == '#')
        return has_heading(p->text, target + 1);
    snprintf(path, sizeof(path), MANUAL_DIR "/%s", target);
    anchor = strchr(path, '#');
    if (anchor)
        *anchor++ = 0;
    if (!anchor)
        return access(path, R_OK) == 0;
    char *text = file_text(path);
    bool found = text && has_heading(text, anchor);
    free(text);
    return found;
}

static void test_every_link_leads_somewhere(void **state)
{
    char target[300];
    unsigned links = 0;
    (void)state;
    for (size_t i = 0; i < page_count; i++) {
        for (const char *at = strstr(pages[i].text, "]("); at; at = strstr(at + 2, "](")) {
            snprintf(target, sizeof(target), "%.*s", (int)strcspn(at + 2, ")\n"), at + 2);
            links++;
            if (strncmp(target, "https://", 8) != 0 && !leads_somewhere(&pages[i], target))
                fail_msg(MANUAL_DIR "/%s.md: nothing is at %s", pages[i].name, target);
        }
    }
    assert_true(links > page_count);
}

static void test_every_page_is_in_the_index(void **state)
{
    struct page index;
    char link[100];
    (void)state;
    assert_true(page_read(&index, "README"));
    for (size_t i = 0; i < page_count; i++) {
        snprintf(link, sizeof(link), "](%.64s.md)", pages[i].name);
        if (strcmp(pages[i].name, "README") != 0 && !strstr(index.text, link))
            fail_msg(MANUAL_DIR "/README.md does not name %s.md", pages[i].name);
    }
    page_free(&index);
}

// ---- blocks

static bool is_labelled(const struct block *b)
{
    char value[160];
    if (block_not_run(b))
        return block_not_run(b)[0] != 0;
    return block_label(b, "at", value, sizeof(value)) || block_label(b, "shown", value, sizeof(value));
}

static void test_every_block_is_run_or_says_why_not(void **state)
{
    size_t blocks = 0;
    (void)state;
    for (size_t i = 0; i < page_count; i++) {
        for (size_t n = 0; n < pages[i].count; n++, blocks++) {
            if (!is_labelled(&pages[i].blocks[n]))
                fail_msg(MANUAL_DIR "/%s.md:%d: the block says neither where it is run nor why it is not",
                         pages[i].name, pages[i].blocks[n].line);
        }
    }
    assert_true(blocks > 0);
}

static void test_what_is_shown_is_compared_line_by_line(void **state)
{
    (void)state;
    assert_true(shows("one\ntwo three four\n", "two three four"));
    assert_true(shows("one\ntwo three four\n", "two … four"));
    assert_true(shows("one\ntwo three four", "…four"));
    assert_false(shows("one\ntwo three four\n", "one … four")); // of two lines
    assert_false(shows("one\ntwo three four\n", "four … two"));
    assert_false(shows("one\n", "two"));
}

// ---- messages

struct source {
    char *text; // one file, with adjacent literals made one
};
static struct source *sources;
static size_t source_count;

// "abc "  "def" on the next line is "abc def".
static void join_literals(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++) {
        if (*at == '"' && at[1] == '\n') {
            const char *next = at + 1 + strspn(at + 1, " \t\n");
            if (*next == '"') {
                at = next;
                continue;
            }
        }
        *to++ = *at;
    }
    *to = 0;
}

static int keep_source(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    size_t len = strlen(path);
    (void)st;
    (void)f;
    if (flag != FTW_F || len < 3 || path[len - 2] != '.' || (path[len - 1] != 'c' && path[len - 1] != 'h'))
        return 0;
    struct source *more = realloc(sources, (source_count + 1) * sizeof(*more));
    if (!more)
        return -1;
    sources = more;
    char *text = file_text(path);
    if (!text)
        return -1;
    join_literals(text);
    sources[source_count++].text = text;
    return 0;
}

// The literal around `at` shows the message.
static bool literal_shows(const char *text, const char *at, const char *message)
{
    char literal[1000];
    const char *begin = at, *end = strpbrk(at, "\"\n");
    while (begin > text && begin[-1] != '"' && begin[-1] != '\n')
        begin--;
    snprintf(literal, sizeof(literal), "%.*s", end ? (int)(end - begin) : 0, begin);
    return begin > text && begin[-1] == '"' && shows(literal, message);
}

static bool is_said(const char *message)
{
    char piece[300] = "", now[300];
    for (const char *at = message; *at;) { // the longest piece, to look for
        const char *gap = strstr(at, "…");
        snprintf(now, sizeof(now), "%.*s", gap ? (int)(gap - at) : (int)strlen(at), at);
        if (strlen(now) > strlen(piece))
            memcpy(piece, now, sizeof(piece));
        at = gap ? gap + strlen("…") : at + strlen(at);
    }
    for (size_t i = 0; i < source_count; i++) {
        for (const char *at = strstr(sources[i].text, piece); at; at = strstr(at + 1, piece)) {
            if (literal_shows(sources[i].text, at, message))
                return true;
        }
    }
    return false;
}

static void test_every_message_is_one_of_the_programs(void **state)
{
    static const char mark[] = "\n### `";
    char message[300];
    struct page p;
    unsigned messages = 0;
    (void)state;
    assert_true(page_read(&p, "troubleshooting"));
    assert_int_equal(nftw("ctrl", keep_source, 16, FTW_PHYS), 0);
    assert_int_equal(nftw("driver", keep_source, 16, FTW_PHYS), 0);
    for (const char *at = strstr(p.text, mark); at; at = strstr(at + 1, mark), messages++) {
        snprintf(message, sizeof(message), "%.*s", (int)strcspn(at + sizeof(mark) - 1, "`\n"),
                 at + sizeof(mark) - 1);
        if (!is_said(message))
            fail_msg("troubleshooting.md: no program says \"%s\"", message);
    }
    assert_true(messages > 20);
    assert_false(is_said("establishing IKE_SA failed, peer is not responding"));
    page_free(&p);
    while (source_count > 0)
        free(sources[--source_count].text);
    free(sources);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_link_leads_somewhere),
        cmocka_unit_test(test_every_page_is_in_the_index),
        cmocka_unit_test(test_every_block_is_run_or_says_why_not),
        cmocka_unit_test(test_every_message_is_one_of_the_programs),
        cmocka_unit_test(test_what_is_shown_is_compared_line_by_line),
    };
    return cmocka_run_group_tests(tests, up, down);
}
