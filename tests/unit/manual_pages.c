// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/manual_pages.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *whole_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    if (!f)
        return NULL;
    if (getdelim(&text, &size, 0, f) < 0) {
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

static bool add_block(struct page *p, const char *fence, size_t len, int line)
{
    struct block *more = realloc(p->blocks, (p->count + 1) * sizeof(*more));
    if (!more)
        return false;
    p->blocks = more;
    struct block *b = &more[p->count++];
    memset(b, 0, sizeof(*b));
    b->line = line;
    size_t word = strcspn(fence, " \n");
    snprintf(b->lang, sizeof(b->lang), "%.*s", (int)word, fence);
    while (word < len && fence[word] == ' ')
        word++;
    snprintf(b->label, sizeof(b->label), "%.*s", (int)(len - word), fence + word);
    return true;
}

static bool find_blocks(struct page *p)
{
    const char *begin = NULL;
    int line = 0;
    for (const char *at = p->text, *end; *at; at = *end ? end + 1 : end) {
        end = strchrnul(at, '\n');
        line++;
        if (strncmp(at, "```", 3) != 0)
            continue;
        if (!begin) {
            if (!add_block(p, at + 3, (size_t)(end - at - 3), line))
                return false;
            begin = *end ? end + 1 : end;
            continue;
        }
        p->blocks[p->count - 1].text = strndup(begin, (size_t)(at - begin));
        begin = NULL;
    }
    if (begin)
        fprintf(stderr, "%s.md:%d: this fence is not closed\n", p->name, p->blocks[p->count - 1].line);
    return !begin;
}

bool page_read(struct page *p, const char *name)
{
    char path[200];
    memset(p, 0, sizeof(*p));
    snprintf(p->name, sizeof(p->name), "%s", name);
    snprintf(path, sizeof(path), MANUAL_DIR "/%s.md", name);
    p->text = whole_file(path);
    if (!p->text) {
        fprintf(stderr, "%s cannot be read (from the repository's folder?)\n", path);
        return false;
    }
    return find_blocks(p);
}

void page_free(struct page *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->blocks[i].text);
    free(p->blocks);
    free(p->text);
    memset(p, 0, sizeof(*p));
}

static int is_page(const struct dirent *d)
{
    size_t len = strlen(d->d_name);
    return len > 3 && strcmp(d->d_name + len - 3, ".md") == 0;
}

struct page *pages_read(size_t *count)
{
    struct dirent **names;
    int n = scandir(MANUAL_DIR, &names, is_page, alphasort);
    struct page *pages = n > 0 ? calloc((size_t)n, sizeof(*pages)) : NULL;
    bool ok = pages != NULL;
    for (int i = 0; i < n; i++) {
        names[i]->d_name[strlen(names[i]->d_name) - 3] = 0;
        ok = ok && page_read(&pages[i], names[i]->d_name);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    for (int i = 0; !ok && pages && i < n; i++)
        page_free(&pages[i]);
    if (!ok) {
        free(pages);
        return NULL;
    }
    *count = (size_t)n;
    return pages;
}

const char *block_label(const struct block *b, const char *word, char *buf, size_t size)
{
    size_t len = strlen(word);
    for (const char *at = b->label; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        if (n >= len && strncmp(at, word, len) == 0 && (n == len || at[len] == '=')) {
            snprintf(buf, size, "%.*s", n == len ? 0 : (int)(n - len - 1), at + len + (n > len));
            return buf;
        }
        at += n;
    }
    return NULL;
}

const char *block_not_run(const struct block *b)
{
    static const char word[] = "not-run: ";
    return strncmp(b->label, word, sizeof(word) - 1) == 0 ? b->label + sizeof(word) - 1 : NULL;
}

// Whether the pieces between the gaps of `pattern` stand in text[0..len) one behind the other.
static bool pieces_follow(const char *text, size_t len, const char *pattern)
{
    static const char gap[] = "…";
    for (const char *at = pattern, *cut;; at = cut + sizeof(gap) - 1) {
        cut = strstr(at, gap);
        size_t piece = cut ? (size_t)(cut - at) : strlen(at);
        const char *found = memmem(text, len, at, piece);
        if (!found)
            return false;
        if (!cut)
            return true;
        len -= (size_t)(found + piece - text);
        text = found + piece;
    }
}

bool shows(const char *output, const char *line)
{
    for (const char *at = output, *end; *at; at = *end ? end + 1 : end) {
        end = strchrnul(at, '\n');
        if (pieces_follow(at, (size_t)(end - at), line))
            return true;
    }
    return false;
}
