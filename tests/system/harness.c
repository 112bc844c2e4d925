// SPDX-License-Identifier: Apache-2.0
// Namespaces, daemons and their configuration for the system tests and the demo.
#include "tests/system/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char log_path[160] = "/dev/null";
static bool complained; // then the lab's logs are shown before they go

uint64_t mono_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

bool complain(const char *fmt, ...)
{
    va_list ap;
    complained = true;
    va_start(ap, fmt);
    fprintf(stderr, "    ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    return false;
}

static int run(char *buf, size_t size, const char *cmd)
{
    char line[4096];
    size_t n = 0;
    snprintf(line, sizeof(line), "{ %s ; } 2>>%s", cmd, log_path);
    FILE *f = popen(line, "r");
    if (!f)
        return 127;
    if (buf) {
        n = fread(buf, 1, size - 1, f);
        buf[n] = 0;
    }
    while (fread(line, 1, sizeof(line), f) > 0)
        ;
    int rc = pclose(f);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : 128 + WTERMSIG(rc);
}

int sh(const char *fmt, ...)
{
    char cmd[3600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    return run(NULL, 0, cmd);
}

int sh_read(char *buf, size_t size, const char *fmt, ...)
{
    char cmd[3600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    return run(buf, size, cmd);
}

bool enter_ns(const char *ns)
{
    int fd = open(ns, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

pid_t spawn(const char *log, const char *ns, char *const argv[])
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    if (ns && !enter_ns(ns)) {
        fprintf(stderr, "cannot enter namespace %s: %s\n", ns, strerror(errno));
        _exit(126);
    }
    execvp(argv[0], argv);
    fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

bool stop(pid_t *pid, int sig, int timeout_ms)
{
    int status = 0;
    if (*pid <= 0)
        return true;
    kill(*pid, sig);
    for (int i = 0; i < timeout_ms / 5; i++) {
        if (waitpid(*pid, &status, WNOHANG) == *pid) {
            *pid = 0;
            return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                   (WIFSIGNALED(status) && WTERMSIG(status) == sig);
        }
        usleep(5000);
    }
    kill(*pid, SIGKILL);
    waitpid(*pid, &status, 0);
    *pid = 0;
    return false;
}

bool wait_for(bool (*cond)(void *), void *ctx, int timeout_ms)
{
    uint64_t end = mono_us() + (uint64_t)timeout_ms * 1000;
    do {
        if (cond(ctx))
            return true;
        usleep(10000);
    } while (mono_us() < end);
    return cond(ctx);
}

bool busy_once_more(struct busy *b, const char *what)
{
    uint64_t took = mono_us() - b->from_us, waited = busy_waited_us(b);
    if (waited < took / 20 || b->times++ >= 5)
        return false;
    fprintf(stderr,
            "    %s took too long on a busy machine (somebody waited for a processor for %.0f of %.0f ms): "
            "once more\n",
            what, (double)waited / 1e3, (double)took / 1e3);
    return true;
}

const char *bin_dir(void)
{
    static char path[512];
    if (!path[0]) {
        const char *env = getenv("ESPALIER_BIN");
        ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);
        if (env) {
            snprintf(path, sizeof(path), "%s", env);
        } else if (n > 0) { // build/tests/x -> build/bin
            path[n] = 0;
            for (int i = 0; i < 2 && strrchr(path, '/'); i++)
                *strrchr(path, '/') = 0;
            strcat(path, "/bin");
        }
    }
    return path;
}

// ---- the lab

static void site_init(struct lab *l, struct site *s, const char *name, int n)
{
    snprintf(s->name, sizeof(s->name), "%s", name);
    snprintf(s->dir, sizeof(s->dir), "%.80s/%s", l->dir, name);
    snprintf(s->outer, sizeof(s->outer), "10.10.0.%d", n);
    snprintf(s->inner, sizeof(s->inner), "10.%d.0.1", n);
    snprintf(s->subnet, sizeof(s->subnet), "10.%d.0.0/16", n);
    snprintf(s->id, sizeof(s->id), "%s.example", name);
    mkdir(s->dir, 0755);
}

// A process in a network namespace of its own, which lives as long as it does.
static bool keep_namespace(struct site *s)
{
    int made[2];
    char c;
    if (pipe(made) < 0 || (s->keeper = fork()) < 0)
        return false;
    if (s->keeper == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(made[0]);
        if (unshare(CLONE_NEWNET) == 0 && write(made[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    close(made[1]);
    bool ok = read(made[0], &c, 1) == 1;
    close(made[0]);
    snprintf(s->ns, sizeof(s->ns), "/proc/%d/ns/net", s->keeper);
    return ok;
}

static bool site_up(struct site *s)
{
    return keep_namespace(s) &&
           sh("nsenter --net=%s ip link set lo up && nsenter --net=%s ip addr add %s/32 dev lo", s->ns, s->ns,
              s->inner) == 0;
}

bool site_more(struct lab *l, struct site *s, const char *name, int n)
{
    memset(s, 0, sizeof(*s));
    site_init(l, s, name, n);
    return site_up(s) || complain("cannot make %s's network namespace", name);
}

static bool lab_make(struct lab *l, const char *prefix)
{
    const char *tmp = getenv("TMPDIR"),
               *own = getenv("ESPALIER_LAB"); // own: two runs of one test side by side
    prefix = own ? own : prefix;
    struct site *w = &l->west, *e = &l->east;
    memset(l, 0, sizeof(*l));
    snprintf(l->dir, sizeof(l->dir), "%.60s/espalier-%.12s-XXXXXX", tmp ? tmp : "/tmp", prefix);
    if (!mkdtemp(l->dir))
        return complain("cannot make %s: %s", l->dir, strerror(errno));
    chmod(l->dir, 0755); // a person may want to look
    snprintf(log_path, sizeof(log_path), "%s/commands.log", l->dir);
    snprintf(l->card_dir, sizeof(l->card_dir), "%s/pci", l->dir);
    site_init(l, w, "west", 1);
    site_init(l, e, "east", 2);
    l->keep = getenv("ESPALIER_KEEP") != NULL;
    if (!site_up(w) || !site_up(e))
        return complain("cannot make network namespaces (root, or unshare -Urn, is needed)");
    if (sh("ip link add outer netns %d type veth peer name outer netns %d", w->keeper, e->keeper))
        return complain("cannot make the link between them");
    for (int i = 0; i < 2; i++) {
        struct site *s = i ? e : w, *o = i ? w : e;
        // One packet a frame, as on a cable: what sends several at once has them cut before the capture sees
        // them. In clear everything would get through by this route: only IPsec policy stands in its way
        if (sh("nsenter --net=%s sh -c 'ip addr add %s/24 dev outer && ip link set outer gso_max_segs 1 up "
               "&& ip route add "
               "%s via %s src %s' && "
               "nsenter --net=%s sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 0 "
               ">/proc/sys/net/ipv4/conf/all/rp_filter; "
               "echo 0 >/proc/sys/net/ipv4/conf/outer/rp_filter'",
               s->ns, s->outer, o->subnet, o->outer, s->inner, s->ns))
            return complain("cannot configure %s's end of the link", s->name);
    }
    return true;
}

bool host_up(struct site *gateway, struct site *host, int n)
{
    snprintf(host->name, sizeof(host->name), "%.8s-host", gateway->name);
    if (!keep_namespace(host))
        return complain("cannot make a network namespace");
    if (sh("ip link add behind netns %d type veth peer name eth netns %d", gateway->keeper, host->keeper) ||
        sh("nsenter --net=%s sh -c 'ip link set lo up; ip addr add 10.%d.9.5/24 dev eth; ip -6 addr add "
           "fd0%d::9:5/112 dev eth nodad; ip link set eth up; ip route add default via 10.%d.9.1; ip -6 "
           "route "
           "add default via fd0%d::9:1'",
           host->ns, n, n, n, n) ||
        sh("nsenter --net=%s sh -c 'ip addr add 10.%d.9.1/24 dev behind; ip -6 addr add fd0%d::9:1/112 dev "
           "behind nodad; ip link set behind up; echo 0 >/proc/sys/net/ipv4/conf/behind/rp_filter'",
           gateway->ns, n, n))
        return complain("cannot make %s", host->name);
    return true;
}

bool lab_ipv6(struct lab *l)
{
    struct site *both[] = {&l->west, &l->east};
    for (int i = 0; i < 2; i++)
        if (sh("nsenter --net=%s sh -c 'ip -6 addr add fd10::%d/64 dev outer nodad; ip -6 route add "
               "fd0%d::/64 "
               "via fd10::%d; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'",
               both[i]->ns, i + 1, 2 - i, 2 - i))
            return complain("cannot give %s IPv6", both[i]->name);
    return true;
}

bool lab_up(struct lab *l, const char *prefix)
{
    complained = false;
    if (lab_make(l, prefix))
        return true;
    lab_down(l);
    return false;
}

// Where something went wrong (or the runner of the tests asks, which shows this only for a failed one), the
// last lines of every log, because the files go with the lab.
static void show_logs(const struct lab *l)
{
    char out[32768];
    if (!l->dir[0] || !(complained || getenv("ESPALIER_LAB_LOGS")))
        return;
    snprintf(log_path, sizeof(log_path), "/dev/null");
    if (sh_read(out, sizeof(out),
                "cd %s && find . -name '*.log' -size +0 | sort | while read -r f; do echo \"    -- $f\"; "
                "tail -n 25 $f | "
                "cut -c 1-300; done",
                l->dir) == 0)
        fputs(out, stderr);
    complained = false;
}

void lab_down(struct lab *l)
{
    stop(&l->west.capture, SIGINT, 2000);
    stop(&l->east.capture, SIGINT, 2000);
    stop(&l->west.daemon, SIGTERM, 4000);
    stop(&l->east.daemon, SIGTERM, 4000);
    stop(&l->card, SIGTERM, 4000);
    stop(&l->west.keeper, SIGKILL, 1000);
    stop(&l->east.keeper, SIGKILL, 1000);
    show_logs(l);
    if (l->keep)
        fprintf(stderr, "    kept: %s\n", l->dir);
    else if (l->dir[0])
        run(NULL, 0, strcat(strcpy((char[200]){0}, "rm -rf "), l->dir));
    snprintf(log_path, sizeof(log_path), "/dev/null");
}

// ---- configuration

static bool write_file(const char *path, const char *fmt, ...)
{
    va_list ap;
    FILE *f = fopen(path, "w");
    if (!f)
        return complain("cannot write %s: %s", path, strerror(errno));
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
    return fclose(f) == 0;
}

// Its child N, and where there are several, only that part of the subnets.
static int write_child(char *to, size_t size, const struct site *s, const struct site *peer,
                       const struct tunnel_options *o, unsigned n)
{
    char offload[64] = "", name[16] = "net", local[24], remote[24];
    if (o->hw_offload && !s->charon && !(n && o->one_offload))
        snprintf(offload, sizeof(offload), "hw_offload = %s", o->hw_offload);
    if (n)
        snprintf(name, sizeof(name), "net%u", n);
    else if (o->child_name)
        snprintf(name, sizeof(name), "%s", o->child_name);
    snprintf(local, sizeof(local), "%s", s->subnet);
    snprintf(remote, sizeof(remote), "%s", peer->subnet);
    if (o->children > 1) {
        snprintf(local, sizeof(local), "%.5s%u.0/24", s->subnet, n); // "10.1."
        snprintf(remote, sizeof(remote), "%.5s%u.0/24", peer->subnet, n);
    }
    return snprintf(to, size,
                    "      %s {\n        local_ts = %s\n        remote_ts = %s\n        %s_proposals = %s\n"
                    "        mode = tunnel\n        %s\n        start_action = %s\n        %s\n      }\n",
                    name, local, remote, o->ah ? "ah" : "esp",
                    o->ah    ? o->ah
                    : o->esp ? o->esp
                             : "aes256gcm16",
                    o->child ? o->child : "rekey_time = 0", o->start_action ? o->start_action : "none",
                    offload);
}

static const char *id_line(char buf[100], const char *id, const char *usual)
{
    snprintf(buf, 100, "id = \"%s\"", id ? id : usual);
    return id && !id[0] ? "" : buf;
}

static bool write_swanctl(const struct site *s, const struct site *peer, const struct tunnel_options *o)
{
    char path[160], children[8192], own[100], its[100];
    int at = 0;
    if (sh("mkdir -p %s/swanctl/conf.d %s/swanctl/x509 %s/run", s->dir, s->dir, s->dir))
        return complain("cannot make %s/swanctl", s->dir);
    for (unsigned n = 0; n < (o->children ? o->children : 1) && at < (int)sizeof(children); n++)
        at += write_child(children + at, sizeof(children) - (size_t)at, s, peer, o, n);
    snprintf(path, sizeof(path), "%s/swanctl/swanctl.conf", s->dir);
    return write_file(path,
                      "connections {\n  %s {\n    version = 2\n    local_addrs = %s\n    remote_addrs = "
                      "%s\n    proposals = %s\n"
                      "    mobike = %s\n    encap = %s\n    dpd_delay = %s\n    %s\n"
                      "    local {\n      %s\n      %s\n    }\n    remote {\n      %s\n      %s\n    }\n"
                      "    children {\n%s    }\n  }\n}\n"
                      "secrets {\n  ike-1 {\n    id-1 = west.example\n    id-2 = east.example\n    secret = "
                      "\"%s\"\n  }\n%s}\n%s",
                      o->name ? o->name : "site", o->own_addrs ? o->own_addrs : s->outer,
                      o->peer_addr ? o->peer_addr : peer->outer,
                      o->ike ? o->ike : "aes256gcm16-prfsha384-x25519", o->mobike ? "yes" : "no",
                      o->encap ? "yes" : "no", o->dpd_delay ? o->dpd_delay : "0", o->conn ? o->conn : "",
                      o->local ? o->local : "auth = psk", id_line(own, o->local_id, s->id),
                      o->remote ? o->remote : "auth = psk", id_line(its, o->remote_id, peer->id), children,
                      o->psk ? o->psk : "a shared secret of the lab", o->secrets ? o->secrets : "",
                      o->sections ? o->sections : "");
}

struct ready {
    struct site *s;
    char path[200];
};

static bool socket_there(void *ctx)
{
    struct ready *r = ctx;
    struct stat st;
    return stat(r->path, &st) == 0 || waitpid(r->s->daemon, NULL, WNOHANG) != 0;
}

static bool runs(const struct site *s)
{
    siginfo_t i = {0};
    return waitid(P_PID, (id_t)s->daemon, &i, WEXITED | WNOHANG | WNOWAIT) == 0 && i.si_pid == 0;
}

static bool load_all(struct site *s)
{
    char out[4096];
    uint64_t end = mono_us() + PATIENCE_MS * 1000ull;
    int rc = swanctl(s, out, sizeof(out), "--load-all --noprompt");
    // charon takes an old socket away, binds and then listens
    while (rc && strstr(out, "connecting to '") && runs(s) && mono_us() < end) {
        usleep(20000);
        rc = swanctl(s, out, sizeof(out), "--load-all --noprompt");
    }
    if (rc)
        return complain("%s: swanctl --load-all failed:\n%s", s->name, out);
    return true;
}

static bool load(struct site *s)
{
    struct ready r = {.s = s};
    struct stat st;
    snprintf(r.path, sizeof(r.path), "%s/vici", s->dir);
    wait_for(socket_there, &r, PATIENCE_MS);
    if (stat(r.path, &st) < 0)
        return complain("%s: the daemon does not serve %s", s->name, r.path);
    return load_all(s);
}

bool site_load(struct site *s, const struct site *peer, const struct tunnel_options *o)
{
    return write_swanctl(s, peer, o) && load_all(s);
}

pid_t room_pid(const struct site *s, const char *name)
{
    char out[64] = "";
    sh_read(out, sizeof(out),
            "for p in $(cat /proc/%d/task/%d/children); do tr '\\0' ' ' </proc/$p/cmdline | grep -q "
            "'^espalierd: %s' && echo $p; done",
            (int)s->daemon, (int)s->daemon, name);
    return (pid_t)strtol(out, NULL, 10);
}

static bool rooms_gone(void *pids) // one that nobody has reaped yet runs no more
{
    return sh("for p in %s; do grep -s '^State:' /proc/$p/status; done | grep -q -v Z", (const char *)pids) !=
           0;
}

bool daemon_kill(struct site *s)
{
    char rooms[100] = "";
    sh_read(rooms, sizeof(rooms), "tr '\\n' ' ' </proc/%d/task/%d/children", (int)s->daemon, (int)s->daemon);
    kill(s->daemon, SIGKILL);
    waitpid(s->daemon, NULL, 0);
    s->daemon = 0;
    return wait_for(rooms_gone, rooms, PATIENCE_MS) ||
           complain("%s: processes outlive their supervisor", s->name);
}

bool have_swanctl(void)
{
    return access("/usr/sbin/swanctl", X_OK) == 0;
}

bool have_strongswan(void)
{
    return have_swanctl() && access("/usr/lib/ipsec/charon", X_OK) == 0 &&
           access("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so", R_OK) == 0;
}

int swanctl(struct site *s, char *buf, size_t size, const char *fmt, ...)
{
    char args[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(args, sizeof(args), fmt, ap);
    va_end(ap);
    return sh_read(buf, size,
                   "SWANCTL_DIR=%s/swanctl STRONGSWAN_CONF=%s/client.conf nsenter --net=%s /usr/sbin/swanctl "
                   "%s --uri unix://%s/vici 2>&1",
                   s->dir, s->dir, s->ns, args, s->dir);
}

bool espalierd_start(struct lab *l, struct site *s, const struct site *peer, const struct tunnel_options *o,
                     char *const extra[])
{
    char program[600], vici[200], run_dir[200], log[200], client[200], workers[32];
    char *argv[32] = {program, "--vici", vici, "--run-dir", run_dir};
    int n = 5;
    (void)l;
    s->charon = false;
    snprintf(program, sizeof(program), "%s/espalierd", bin_dir());
    snprintf(vici, sizeof(vici), "unix://%s/vici", s->dir);
    snprintf(run_dir, sizeof(run_dir), "%s/run", s->dir);
    snprintf(log, sizeof(log), "%s/daemon.log", s->dir);
    snprintf(client, sizeof(client), "%s/client.conf", s->dir);
    if ((o && !write_swanctl(s, peer, o)) || !write_file(client, "swanctl { }\n"))
        return false;
    if (getenv("ESPALIER_WORKERS")) {
        snprintf(workers, sizeof(workers), "workers=%.20s", getenv("ESPALIER_WORKERS"));
        argv[n++] = "-o";
        argv[n++] = workers;
    }
    for (int i = 0; extra && extra[i] && n < 31; i++)
        argv[n++] = extra[i];
    s->daemon = spawn(log, s->ns, argv);
    return load(s);
}

bool charon_start(struct lab *l, struct site *s, const struct site *peer, const struct tunnel_options *o)
{
    char path[200], log[200], cmd[1200];
    s->charon = true;
    snprintf(path, sizeof(path), "%s/client.conf", s->dir);
    snprintf(log, sizeof(log), "%s/daemon.log", s->dir);
    if (!write_swanctl(s, peer, o) ||
        !write_file(path,
                    "charon {\n  load = random nonce pem openssl kdf drbg gcm aes sha1 sha2 hmac curve25519 "
                    "kernel-libipsec kernel-netlink "
                    "socket-default vici updown counters %s\n  threads = 16\n  install_virtual_ip = no\n"
                    "  filelog { main { path = %s/charon.log\n default = 1\n flush_line = yes } }\n"
                    "  plugins { vici { socket = unix://%s/vici } }\n  %s\n}\nswanctl { }\n",
                    o->charon_plugins ? o->charon_plugins : "", s->dir, s->dir,
                    o->charon_settings ? o->charon_settings : ""))
        return false;
    // /run is private where that can be: charon's pid file would clash with another charon's
    if (o->charon_root)
        snprintf(cmd, sizeof(cmd),
                 "export STRONGSWAN_CONF=%s; exec unshare -m sh -c 'mount --rbind /dev %s/dev && mount -t "
                 "tmpfs none "
                 "%s/run && mkdir -p %s%s && mount --bind %s %s%s && exec chroot %s /usr/lib/ipsec/charon'",
                 path, o->charon_root, o->charon_root, o->charon_root, l->dir, l->dir, o->charon_root, l->dir,
                 o->charon_root);
    else
        snprintf(
            cmd, sizeof(cmd),
            "export STRONGSWAN_CONF=%s; unshare -m true && exec unshare -m sh -c 'mount -t tmpfs none /run; "
            "exec /usr/lib/ipsec/charon'; "
            "exec /usr/lib/ipsec/charon",
            path);
    char *argv[] = {"sh", "-c", cmd, NULL};
    s->daemon = spawn(log, s->ns, argv);
    return load(s);
}

static bool card_ready(void *ctx)
{
    struct lab *l = ctx;
    char path[300];
    struct stat st;
    snprintf(path, sizeof(path), "%s/devices/0000:01:00.0/vfio-user.sock", l->card_dir);
    return stat(path, &st) == 0 || waitpid(l->card, NULL, WNOHANG) != 0;
}

bool card_start(struct lab *l, const char *extra)
{
    char program[600], log[200], cmd[1200];
    snprintf(program, sizeof(program), "%s/espalier-card", bin_dir());
    snprintf(log, sizeof(log), "%s/card.log", l->dir);
    snprintf(cmd, sizeof(cmd), "exec %s --dir %s %s", program, l->card_dir, extra ? extra : "");
    char *argv[] = {"sh", "-c", cmd, NULL};
    l->card = spawn(log, NULL, argv);
    if (!wait_for(card_ready, l, PATIENCE_MS) || kill(l->card, 0) < 0)
        return complain("the card does not come up");
    return true;
}

uint64_t number_after(const char *text, const char *name, uint64_t fallback)
{
    for (const char *at = strstr(text, name); at; at = strstr(at + 1, name)) {
        const char *p = at + strlen(name);
        if (at > text && (at[-1] == '_' || at[-1] == '-' || (at[-1] >= 'a' && at[-1] <= 'z') ||
                          (at[-1] >= 'A' && at[-1] <= 'Z')))
            continue; // the tail of a longer name
        size_t skip = strspn(p, " \":=");
        if (skip && p[skip] >= '0' && p[skip] <= '9')
            return strtoull(p + skip, NULL, 10);
    }
    return fallback;
}
