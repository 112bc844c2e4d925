// SPDX-License-Identifier: Apache-2.0
// The words of one logical line of an `ip -batch` file, and the refusals and values that the parsers take
// from them.
#ifndef SIM_WORKBENCH_SAD_WORDS_H
#define SIM_WORKBENCH_SAD_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/workbench/sad.h"

enum { SAD_MAX_WORDS = 100, SAD_MAX_PARTS = 256 };

struct sad_words {
    const char *file;
    struct esp_error *err;
    char *text; // the logical line, joined, words cut by zero octets
    struct {
        size_t at;
        unsigned line;
    } part[SAD_MAX_PARTS]; // where each physical line starts in text
    unsigned n_parts;
    struct {
        const char *text;
        unsigned line;
    } word[SAD_MAX_WORDS];
    unsigned n, at; // word[at] is the next one
};

// Reads the next logical line from *text (advanced; *line too). 1: words are there (n may be 0), 0: end, or
// negative errno.
int sad_read_line(struct sad_words *w, char **text, const char *end, unsigned *line);

// Refuses word[i] (i < n) with a sentence. Always -EINVAL.
__attribute__((format(printf, 3, 4))) int sad_refuse(struct sad_words *w, unsigned i, const char *fmt, ...);
// Refuses the line for what it lacks. Always -EINVAL.
int sad_lacks(struct sad_words *w, const char *what);

const char *sad_peek(const struct sad_words *w);           // NULL at the end
bool sad_accept(struct sad_words *w, const char *keyword); // takes the next word where it is the keyword
bool sad_accept_command(struct sad_words *w, const char *command); // ... or the beginning of the command

// Values: each takes the next word into *out, or refuses it (or the line's end) saying what was expected.
int sad_number(struct sad_words *w, uint64_t max, uint64_t *out);
int sad_number32(struct sad_words *w, uint32_t *out);
int sad_port(struct sad_words *w, uint16_t *out);
int sad_size(struct sad_words *w, uint64_t *out); // with iproute2's unit suffixes
int sad_address(struct sad_words *w, uint8_t out[16]);
// An end of an SA: a prefix length behind it means nothing, as in iproute2.
int sad_end(struct sad_words *w, uint8_t out[16], bool *ipv6);
int sad_word(struct sad_words *w, const char *expected, const char **out);

// Selector words (src, dst, proto, sport, dport, type, code) at the cursor. 1: took one, 0: none there,
// negative: refused.
struct sad_selector_seen {
    bool src, dst, proto, ports, types;
    unsigned word; // of the first port or type
};
int sad_selector_word(struct sad_words *w, struct sad_selector *sel, struct sad_selector_seen *seen);
int sad_selector_check(struct sad_words *w, const struct sad_selector *sel,
                       const struct sad_selector_seen *seen);

int sad_parse_state(struct sad_words *w, struct sad *s, bool update);
int sad_parse_policy(struct sad_words *w, struct sad *s);

#endif
