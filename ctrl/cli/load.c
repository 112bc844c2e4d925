// SPDX-License-Identifier: Apache-2.0
// Reading for `espalier load`, and `espalier check`.
#include "ctrl/cli/load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/table.h"
#include "ctrl/config/cert_kind.h"
#include "ctrl/config/check.h"
#include "ctrl/config/swanctl_file.h"
#include "ctrl/lib/printable.h"

static const char *default_file(char *buf, size_t size)
{
    const char *dir = getenv("SWANCTL_DIR");
    snprintf(buf, size, "%s/swanctl.conf", dir && dir[0] ? dir : "/etc/swanctl");
    return buf;
}

// ---- what is said of a file

static json_t *as_json(const char *where, const char *path, const char *text)
{
    json_t *o = json_object();
    json_object_set_new(o, "where", json_text(where));
    json_object_set_new(o, "path", json_text(path));
    json_object_set_new(o, "text", json_text(text));
    return o;
}

static void put_line(FILE *to, const char *kind, const char *where, const char *path, const char *text)
{
    const char *const parts[] = {where, ": ", kind, path, path[0] ? ": " : "", text, NULL};
    for (int i = 0; parts[i]; i++)
        printable_put(to, parts[i]);
    fputc('\n', to);
}

static void say(struct load *l, bool wrong, const char *where, const char *path, const char *text)
{
    if (l->fault_list)
        json_array_append_new(wrong ? l->fault_list : l->warning_list, as_json(where, path, text));
    else
        put_line(l->cli->err, wrong ? "" : "warning: ", where, path, text);
}

static void on_fault(void *ctx, const char *where, const char *path, const char *text)
{
    struct load *l = ctx;
    l->faults++;
    say(l, true, where, path, text);
}

static void on_warn(void *ctx, const char *where, const char *path, const char *text)
{
    say(ctx, false, where, path, text);
}

static void on_syntax(void *ctx, const char *where, const char *text)
{
    on_fault(ctx, where, "", text);
}

// ---- requests

// NULL: no memory. The caller fills and finishes the request.
static struct load_item *add(struct load *l, enum load_kind kind, const char *name, const char *command)
{
    struct load_item *i = calloc(1, sizeof(*i));
    if (i)
        i->name = strdup(name);
    if (!i || !i->name) {
        free(i);
        l->no_memory = true;
        return NULL;
    }
    struct load_list *list = &l->lists[kind];
    *(list->last ? &list->last->next : &list->first) = i;
    list->last = i;
    list->count++;
    i->kind = kind;
    vici_out_begin(&i->request, VICI_CMD_REQUEST, command);
    return i;
}

static void finish(struct load *l, struct load_item *i, const char *where)
{
    int r = vici_out_finish(&i->request);
    if (r == -ENOMEM)
        l->no_memory = true;
    else if (r)
        on_fault(l, where, i->name, "it is longer than one message to the daemon may be");
}

static void on_section(void *ctx, const char *command, const struct vici_node *section)
{
    struct load *l = ctx;
    enum load_kind kind = strcmp(command, "load-conn") == 0   ? LOAD_CONN
                          : strcmp(command, "load-pool") == 0 ? LOAD_POOL
                                                              : LOAD_AUTHORITY;
    bool compares = kind == LOAD_CONN && cli_given(l->cli, CLI_DRY_RUN);
    struct load_item *i = add(l, kind, section->name, compares ? "compare-conn" : command);
    if (!i)
        return;
    vici_section(&i->request, section->name);
    vici_put_all(&i->request, section);
    vici_section_end(&i->request);
    finish(l, i, command);
}

static void on_secret(void *ctx, const struct vici_node *root)
{
    struct load *l = ctx;
    const char *id = vici_get(root, "id");
    struct load_item *i = add(l, LOAD_SHARED, id ? id : "", "load-shared");
    if (!i)
        return;
    vici_put_all(&i->request, root);
    finish(l, i, "load-shared");
}

static void on_cert(void *ctx, uint8_t kind, const char *flag, const uint8_t *der, size_t len)
{
    struct load *l = ctx;
    struct load_item *i = add(l, LOAD_CERT, "", "load-cert");
    if (!i)
        return;
    vici_put(&i->request, "type", cert_kind_type(kind));
    if (flag || cert_kind_flag(kind))
        vici_put(&i->request, "flag", flag ? flag : cert_kind_flag(kind));
    vici_put_blob(&i->request, "data", der, len);
    finish(l, i, "load-cert");
}

static void on_key(void *ctx, const uint8_t id[20], const uint8_t *der, size_t len)
{
    struct load *l = ctx;
    char text[41];
    for (int k = 0; k < 20; k++)
        snprintf(text + 2 * k, 3, "%02x", id[k]);
    struct load_item *i = add(l, LOAD_KEY, text, "load-key");
    if (!i)
        return;
    vici_put(&i->request, "type", "any");
    vici_put_blob(&i->request, "data", der, len);
    finish(l, i, "load-key");
}

// ---- passwords

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

// Waits for a line or for a signal that would end or stop the process while its terminal shows nothing that
// is typed. 0: a line; else the signal.
static int await_line(int tty, const sigset_t *signals)
{
    struct signalfd_siginfo info = {0};
    int fd = signalfd(-1, signals, SFD_CLOEXEC);
    struct pollfd p[2] = {{.fd = tty, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    while (fd >= 0 && poll(p, 2, -1) < 0 && errno == EINTR)
        ;
    if (fd >= 0 && p[1].revents && read(fd, &info, sizeof(info)) != sizeof(info))
        info.ssi_signo = SIGINT;
    if (fd >= 0)
        close(fd);
    return (int)info.ssi_signo;
}

// The prompt comes when nothing is echoed any more and what was typed before has gone.
static int read_hidden(int tty, const char *file, char *password, size_t size)
{
    struct termios was, quiet;
    sigset_t signals, mask;
    ssize_t n = -1;
    int sig = 0;
    if (tcgetattr(tty, &was) < 0)
        return -ENOTTY;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
        sigaddset(&signals, ending[i]);
    sigprocmask(SIG_BLOCK, &signals, &mask);
    quiet = was;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(tty, TCSAFLUSH, &quiet);
    if (dprintf(tty, "Password of %s: ", file) > 0 && (sig = await_line(tty, &signals)) == 0)
        n = read(tty, password, size - 1);
    tcsetattr(tty, TCSANOW, &was);
    bool shown = dprintf(tty, "\n") > 0;
    if (sig)
        raise(sig); // it is taken when it is let in again
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (!shown || n <= 0)
        return -ENOTTY;
    password[n] = 0;
    password[strcspn(password, "\r\n")] = 0;
    return 0;
}

// On the terminal itself, wherever the standard streams lead.
static int on_ask(void *ctx, const char *file, char *password, size_t size)
{
    (void)ctx;
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return -ENOTTY;
    int r = read_hidden(tty, file, password, size);
    close(tty);
    return r;
}

// ---- the whole

int load_read(struct load *l, const char *file)
{
    const struct conf_faults faults = {l, on_syntax};
    const struct swanctl_report report = {.ctx = l,
                                          .fault = on_fault,
                                          .warn = on_warn,
                                          .secret = on_secret,
                                          .section = on_section,
                                          .cert = on_cert,
                                          .key = on_key,
                                          .ask = on_ask};
    struct conf_tree t;
    struct esp_error err = {0};
    char dir[1024];
    int r = conf_tree_read(&t, file, &faults, &err);
    if (r == -ENOMEM)
        return r;
    config_swanctl_dir(dir, sizeof(dir), file);
    r = swanctl_file_check(&t, dir, &report);
    conf_tree_free(&t);
    return r == -ENOMEM || l->no_memory ? -ENOMEM : l->faults ? -EINVAL : 0;
}

void load_free(struct load *l)
{
    for (int k = 0; k < LOAD_KINDS; k++) {
        while (l->lists[k].first) {
            struct load_item *i = l->lists[k].first;
            l->lists[k].first = i->next;
            vici_out_free(&i->request);
            free(i->name);
            free(i);
        }
        l->lists[k] = (struct load_list){0};
    }
    json_decref(l->fault_list);
    json_decref(l->warning_list);
}

static json_t *document_of(struct load *l, const char *file)
{
    if (!cli_given(l->cli, CLI_JSON))
        return NULL;
    l->fault_list = json_array();
    l->warning_list = json_array();
    return json_pack("{s:o, s:O, s:O}", "file", json_text(file), "faults", l->fault_list, "warnings",
                     l->warning_list);
}

static int load_file(struct load *l, const char *file, json_t *doc)
{
    struct cli *cli = l->cli;
    struct esp_error err = {0};
    int r = load_read(l, file);
    if (r == -EINVAL) {
        fputs("espalier: ", cli->err);
        printable_put(cli->err, file);
        fprintf(cli->err, ": %u fault%s: nothing is loaded, and what was stays\n", l->faults,
                l->faults == 1 ? "" : "s");
    } else if (r) {
        esp_fail(&err, r, "", "out of memory");
    } else if (cli_given(cli, CLI_DRY_RUN)) {
        r = load_dry(l, doc, &err);
    } else {
        r = load_send(l, doc, &err);
        if (r == 0)
            r = load_apply(cli, doc, &err);
    }
    if (err.code && r != -EREMOTEIO) {
        json_decref(doc);
        return cli_fail(cli, r, &err);
    }
    if (doc)
        json_put(cli, doc);
    return r == -EINVAL ? CLI_USAGE : r ? CLI_FAILED : CLI_DONE;
}

int cmd_load(struct cli *cli)
{
    struct load l = {.cli = cli};
    char path[1024];
    const char *file = cli->operands ? cli->operand[0] : default_file(path, sizeof(path));
    json_t *doc = document_of(&l, file);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); // it holds secrets
    int status = load_file(&l, file, doc);
    load_free(&l);
    return status;
}

// ---- check

struct checked {
    struct cli *cli;
    json_t *faults, *warnings; // with --json
};

static void on_line(void *ctx, const char *kind, const char *where, const char *path, const char *text)
{
    struct checked *c = ctx;
    if (c->faults)
        json_array_append_new(kind[0] ? c->warnings : c->faults, as_json(where, path, text));
    else
        put_line(c->cli->out, kind, where, path, text);
}

// Of a settings file; it does not say where it comes from but in its words.
static void on_settings(const char *text)
{
    fputs("warning: ", stderr);
    printable_put(stderr, text);
    fputc('\n', stderr);
}

static json_t *checked_json(const char *file, const struct checked *c, const struct check_counts *n)
{
    return json_pack("{s:o, s:b, s:o, s:o, s:i, s:i, s:i, s:i}", "file", json_text(file), "settings",
                     n->settings, "faults", c->faults, "warnings", c->warnings, "connections", (int)n->conns,
                     "secrets", (int)n->secrets, "certificates", (int)n->certs, "private-keys", (int)n->keys);
}

// One more of them; 0, -EINVAL or -ENOMEM.
static int check_file(struct cli *cli, const char *file, json_t *files)
{
    struct checked c = {.cli = cli};
    const struct check_report report = {&c, on_line, on_settings};
    struct check_counts n = {0};
    if (files) {
        c.faults = json_array();
        c.warnings = json_array();
    }
    int r = config_check_file(file, false, &report, &n);
    if (files)
        json_array_append_new(files, checked_json(file, &c, &n));
    else if (r != -ENOMEM)
        config_check_print(cli->out, file, &n);
    return r;
}

int cmd_check(struct cli *cli)
{
    json_t *files = cli_given(cli, CLI_JSON) ? json_array() : NULL;
    struct esp_error err = {0};
    char path[1024];
    int result = 0;
    if (!cli->operands) {
        cli->operand[0] = default_file(path, sizeof(path));
        cli->operands = 1;
    }
    for (unsigned i = 0; i < cli->operands && result != -ENOMEM; i++) {
        int r = check_file(cli, cli->operand[i], files);
        result = r ? r : result;
    }
    if (result == -ENOMEM) {
        json_decref(files);
        return cli_fail(cli, esp_fail(&err, -ENOMEM, "", "out of memory"), &err);
    }
    if (files)
        json_put(cli, json_pack("{s:o}", "files", files));
    return result ? CLI_USAGE : CLI_DONE;
}
