// SPDX-License-Identifier: Apache-2.0
// The command line of espalierd, and how it, the settings file and the defaults become one configuration. The
// order is: defaults, section charon, section espalierd, -o, then the options that have a name of their own.
#ifndef CTRL_CONFIG_OPTIONS_H
#define CTRL_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctrl/config/conffile.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/settings.h"
#include "espalier/error.h"

enum { LOG_LEVEL_UNSET = -100 };

struct options {
    bool help, version, check, purge;
    char *const *files; // of --check
    unsigned file_count;
    const char *config;    // --config; NULL: none
    struct conf overrides; // -o, paths already prefixed
    struct settings named; // values of the options below that are marked in `given`
    unsigned given;        // bit per enum option_id
    int log_level[LOG_SUBSYS_COUNT];
    bool log_json;
    const char *journal; // the socket of systemd's journal; NULL: the log goes elsewhere
};

struct daemon_config {
    struct settings settings;
    int log_level[LOG_SUBSYS_COUNT];
    bool log_json;
    bool log_journal;   // by LOG_JOURNAL_FD (ctrl/lib/log_journal.h)
    bool log_truncate;  // append = no
    char log_path[200]; // filelog's path; "": standard error
    char log_time_format[LOG_TIME_FORMAT];
};

// 0, or -EINVAL naming the option. The strings of argv must outlive *o.
int options_parse(struct options *o, int argc, char *const *argv, struct esp_error *err);
void options_free(struct options *o);
const char *options_usage(void);
void options_help(FILE *out); // each option explained

// Reads the file (where there is one) and puts everything together. warn(text) is called for each key that is
// passed over. 0, or negative errno naming the key or the file's line.
int config_build(struct daemon_config *out, const struct options *o, void (*warn)(const char *text),
                 struct esp_error *err);
void config_apply_log(const struct daemon_config *c);
// What is read at the start alone keeps its value; warn(text) names each key whose value would have changed.
void settings_keep_fixed(struct settings *next, const struct settings *now, void (*warn)(const char *text));

// The same, and goes on behind a fault, where `fault` is not NULL.
int config_apply_all(struct daemon_config *out, const struct conf *conf, void (*warn)(const char *text),
                     void (*fault)(void *ctx, const char *where, const struct esp_error *err), void *ctx,
                     struct esp_error *err);
// Applies the entries of sections charon and espalierd. Exposed for tests.
int config_apply(struct daemon_config *out, const struct conf *conf, void (*warn)(const char *text),
                 struct esp_error *err);

#endif
