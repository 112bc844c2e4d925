// SPDX-License-Identifier: Apache-2.0
// How a refusal reaches a person: the errno-like code, the thing at fault and a sentence that says what was
// expected.
#ifndef ESPALIER_ERROR_H
#define ESPALIER_ERROR_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct esp_error {
    int code;       // negative errno, 0: nothing went wrong
    char field[48]; // the option, key, attribute or device at fault; may be empty
    char text[200]; // one sentence, without a full stop or newline; what is longer ends behind a word, in "
                    // ..."
};

// n: of what snprintf has written or would have.
static inline void esp_text_end(char *text, size_t size, int n)
{
    static const char more[] = " ...";
    if (n < 0 || (size_t)n < size || size <= 2 * sizeof(more))
        return;
    text[size - sizeof(more)] = 0;
    char *word = strrchr(text, ' ');
    memcpy(word && word > text + size / 2 ? word : text + size - sizeof(more), more, sizeof(more));
}

// Fills *err (which may be NULL) and returns code, so that a function can end in `return esp_fail(...)`.
__attribute__((format(printf, 4, 5))) static inline int esp_fail(struct esp_error *err, int code,
                                                                 const char *field, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        err->code = code;
        snprintf(err->field, sizeof(err->field), "%s", field ? field : "");
        va_start(ap, fmt);
        esp_text_end(err->text, sizeof(err->text), vsnprintf(err->text, sizeof(err->text), fmt, ap));
        va_end(ap);
    }
    return code;
}

#endif
