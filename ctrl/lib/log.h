// SPDX-License-Identifier: Apache-2.0
// Log lines: one per event, on stderr as text (TIME LEVEL PROCESS[SUBSYSTEM] <CONNECTION|IKE SA> TEXT) or
// JSON, and to a sink (the ctl process shows them over VICI). What is not printable UTF-8 is shown as '?'.
// Never a key. A thread has a log; where several rooms share it each of their loops carries its own
// (loop_set_log), and the functions below speak of the one whose loop is running.
#ifndef CTRL_LOG_H
#define CTRL_LOG_H

#include <stdbool.h>

// X(symbol, name): the subsystems, by charon's names where people know them
#define LOG_SUBSYS_LIST(X)                                                                                   \
    X(DMN, "dmn")                                                                                            \
    X(CFG, "cfg")                                                                                            \
    X(NET, "net")                                                                                            \
    X(ENC, "enc")                                                                                            \
    X(IKE, "ike")                                                                                            \
    X(CHD, "chd")                                                                                            \
    X(KNL, "knl")                                                                                            \
    X(ESP, "esp")                                                                                            \
    X(LIB, "lib")
enum log_subsys {
#define X(sym, name) LOG_##sym,
    LOG_SUBSYS_LIST(X)
#undef X
        LOG_SUBSYS_COUNT
};
const char *log_subsys_name(enum log_subsys s);
int log_subsys_by_name(const char *name); // -1: unknown

// Levels as charon's: -1 silent, 0 audit, 1 control (default), 2 detail, 3 raw, 4 private (never keys here
// either).
void log_set_level(enum log_subsys s, int level);
void log_set_all(int level);
void log_set_json(bool json);
// strftime(3), local time; "": UTC as in RFC 3339, with milliseconds. JSON always has the latter.
enum { LOG_TIME_FORMAT = 64 };
void log_set_time_format(const char *format);
void log_set_process(const char *name); // "ike"; shown in JSON and at the line's start
void log_set_output(int fd);            // instead of stderr; -1: nowhere
// Called for every line at or below the level; ike_name may be "" and ike_id 0.
typedef void (*log_sink_fn)(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                            const char *text);
void log_set_sink(log_sink_fn sink, void *ctx);
// Asked for every line at or below the level, before anything is written; false: it is left out. NULL: none
// is.
void log_set_gate(bool (*may)(void *ctx), void *ctx);
unsigned long long log_dropped(void);                        // lines that the output had no room for, ever
void log_set_context(const char *ike_name, unsigned ike_id); // of the lines that follow; "" and 0 to clear

// The line that follows, and no other, is about that CHILD SA: fields of JSON and of the journal.
void log_of_child(const char *child, unsigned id);

// A word that whoever started the program waits for, at every level: bare in text, an object of its own in
// JSON.
void log_announce(int fd, const char *text);

// From log_hold to log_flush lines gather there, to be written at once; before that only where it is full.
// The page is the caller's, for as long as the log is; NULL: each line goes out by itself.
struct log_page;
void log_gather(struct log_page *p);
void log_hold(void);
void log_flush(void);
void log_rest(struct log_page *p); // what a process has left there that is no more: it goes out, by this log

struct log;
struct log *log_new(void); // with the levels and the form of the one in use
void log_free(struct log *l);
struct log *log_use(struct log *l); // NULL: the thread's own. Returns the one that was in use

__attribute__((format(printf, 3, 4))) void log_line(enum log_subsys s, int level, const char *fmt, ...);
// What a line is made of is worked out for one that is written alone: log_wants asks the gate for it, once.
bool log_wants(enum log_subsys s, int level);
__attribute__((format(printf, 3, 4))) void log_wanted(enum log_subsys s, int level, const char *fmt, ...);
#define LOGF(sub, level, ...)                                                                                \
    (log_wants(LOG_##sub, level) ? log_wanted(LOG_##sub, level, __VA_ARGS__) : (void)0)
#define LOGF_CHILD(sub, level, child, id, ...)                                                               \
    (log_wants(LOG_##sub, level) ? (log_of_child(child, id), log_wanted(LOG_##sub, level, __VA_ARGS__))      \
                                 : (void)0)

#endif
