// SPDX-License-Identifier: Apache-2.0
#include "tests/system/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/system/harness.h"

enum { LOOK_MS = 1000, ORDER_MAX = 3500 }; // a serial line keeps 4,096 octets for a reader

// ---- its start

static int wire_open(struct guest *g)
{
    struct sockaddr_un us = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 1 << 20;
    snprintf(us.sun_path, sizeof(us.sun_path), "%.80s/wire", g->dir);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&us, sizeof(us)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) == 0)
        return fd;
    complain("cannot make %s: %s", us.sun_path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

struct line {
    char text[4000];
    char *argv[64];
    int n;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *fmt, ...)
{
    va_list ap;
    char *at = l->text + l->used;
    va_start(ap, fmt);
    int len = vsnprintf(at, sizeof(l->text) - l->used, fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len + 1 > sizeof(l->text) - l->used || l->n == 63)
        abort(); // the options of this file do not fit its own array
    l->argv[l->n++] = at;
    l->used += (size_t)len + 1;
}

// Each word of `words` is an argument.
static void add_all(struct line *l, const char *words)
{
    for (size_t n; *words; words += n + (words[n] == ' ')) {
        n = strcspn(words, " ");
        add(l, "%.*s", (int)n, words);
    }
}

// Nothing is left to whoever calculates checksums or cuts packets later: what is on the wire is whole.
#define WHOLE "csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off"

// Behind a port of its own, which alone the kernel takes a device out of while it runs.
static void add_card(struct line *l, const struct guest_options *o)
{
    add_all(l, "-device pcie-root-port,id=rp,chassis=1");
    add(l, "-device");
    add(l,
        "{\"driver\":\"vfio-user-pci\",\"id\":\"card\",\"bus\":\"rp\",\"addr\":\"0.0\",\"multifunction\":%"
        "s,"
        "\"socket\":{\"path\":\"%s\",\"type\":\"unix\"},\"x-msg-timeout\":120000}",
        o->neighbour ? "true" : "false", o->vfio_user);
    if (o->neighbour)
        add_all(l, "-device e1000e,id=neighbour,bus=rp,addr=0.1,romfile= "
                   "-device pcie-root-port,id=rp2,chassis=2 -device e1000e,id=pulled,bus=rp2,romfile=");
}

static void command(struct line *l, const struct guest *g, const struct guest_options *o, int orders)
{
    unsigned memory = o->memory_mb ? o->memory_mb : 256;
    const char *own = getenv("QEMU");
    if (own && own[0])
        add_all(l, own);
    else
        add(l, "%s/qemu", o->files);
    add_all(l, "-M q35 -accel tcg -cpu max,la57=off -nodefaults -display none -no-reboot");
    if (o->vfio_user)
        add_all(l, "-device intel-iommu,caching-mode=on");
    add(l, "-m");
    add(l, "%u", memory);
    add(l, "-object");
    add(l, "memory-backend-memfd,id=m,size=%uM,share=on", memory);
    add_all(l, "-machine memory-backend=m");
    add(l, "-serial");
    add(l, "file:%s/console.log", g->dir);
    add(l, "-chardev");
    add(l, "socket,id=orders,fd=%d", orders);
    add_all(l, "-serial chardev:orders");
    add(l, "-netdev");
    if (o->tap)
        add(l, "tap,id=n,ifname=%s,script=no,downscript=no,vnet_hdr=off", o->tap);
    else
        add(l, "dgram,id=n,local.type=unix,local.path=%s/guest,remote.type=unix,remote.path=%s/wire", g->dir,
            g->dir);
    add(l, "-device");
    add(l, "virtio-net-pci,netdev=n,romfile=,mac=" GUEST_MAC "," WHOLE);
    if (o->vfio_user)
        add_card(l, o);
    add(l, "-monitor");
    add(l, "unix:%s/monitor,server=on,wait=off", g->dir);
    add_all(l, "-kernel");
    add(l, "%s/vmlinuz", o->files);
    add(l, "-initrd");
    add(l, "%s", o->image);
    add(l, "-append");
    // on a busy machine the timer seems not to tick to a kernel that counts, which then panics
    add(l, "console=ttyS0 quiet panic=-1 no_timer_check random.trust_cpu=on%s",
        o->vfio_user ? " intel_iommu=on" : "");
}

// ---- orders

// What QEMU's thread that waited longest has waited for a processor. On a busy machine it is the most of what
// a guest takes, and says nothing of it.
static uint64_t starved_us(const struct guest *g)
{
    char path[300];
    uint64_t most = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)g->pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        unsigned long long ran, waited;
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)g->pid, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (f && fscanf(f, "%llu %llu", &ran, &waited) == 2 && waited / 1000 > most)
            most = waited / 1000;
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return most;
}

struct patience {
    uint64_t end, starved; // when it ends, but for what QEMU is starved from here on
};

static struct patience patience_of(const struct guest *g)
{
    return (struct patience){mono_us() + GUEST_PATIENCE_MS * 1000ull, starved_us(g)};
}

static bool await(const struct guest *g, const struct patience *until)
{
    struct pollfd p = {.fd = g->orders, .events = POLLIN};
    int ready = poll(&p, 1, 0);
    while (ready == 0 && mono_us() < until->end + (starved_us(g) - until->starved))
        ready = poll(&p, 1, LOOK_MS);
    return ready == 1;
}

static bool read_octets(const struct guest *g, char *to, size_t n, const struct patience *end)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = await(g, end) ? read(g->orders, to + got, n - got) : -1;
        if (r <= 0)
            return false;
        got += (size_t)r;
    }
    return true;
}

static bool read_line(const struct guest *g, char line[100], const struct patience *end)
{
    size_t n = 0;
    do {
        if (n == 99 || !read_octets(g, line + n, 1, end))
            return false;
    } while (line[n++] != '\n');
    line[n] = 0;
    return true;
}

// What was asked as number n: its exit status, -1: no answer.
static int answer(struct guest *g, unsigned n, char *out, size_t size)
{
    char line[100], rest[512];
    unsigned number = 0;
    int status = -1;
    size_t len = 0;
    struct patience end = patience_of(g);
    if (!read_line(g, line, &end) || sscanf(line, "= %u %d %zu", &number, &status, &len) != 3 || number != n)
        return -1;
    size_t kept = out && size ? (len < size ? len : size - 1) : 0;
    if (kept && !read_octets(g, out, kept, &end))
        return -1;
    if (out && size)
        out[kept] = 0;
    for (len -= kept; len; len -= len < sizeof(rest) ? len : sizeof(rest))
        if (!read_octets(g, rest, len < sizeof(rest) ? len : sizeof(rest), &end))
            return -1;
    return status;
}

int guest_run(struct guest *g, char *out, size_t size, const char *fmt, ...)
{
    char order[ORDER_MAX];
    va_list ap;
    int n = snprintf(order, sizeof(order), "%u ", ++g->asked);
    va_start(ap, fmt);
    n += vsnprintf(order + n, sizeof(order) - (size_t)n, fmt, ap);
    va_end(ap);
    if (out && size)
        out[0] = 0;
    if (n + 1 >= ORDER_MAX || strchr(order, '\n')) {
        complain("no order for a guest (%d octets, of one line): %.60s…", n, order);
        return -1;
    }
    order[n++] = '\n';
    if (send(g->orders, order, (size_t)n, MSG_NOSIGNAL) != n)
        complain("the guest takes no order: %s", strerror(errno));
    int status = answer(g, g->asked, out, size);
    if (status < 0) {
        order[n - 1] = 0;
        complain("the guest does not answer: %.300s", order);
        guest_log(g);
    }
    return status;
}

bool guest_put(struct guest *g, const char *path, const char *text)
{
    char piece[2400];
    bool ok = guest_run(g, NULL, 0, "mkdir -p \"$(dirname %s)\" && : >%s", path, path) == 0;
    while (ok && *text) {
        int n = 0;
        for (; *text && n < 2300; text++) // octal is what no shell reads in any other way
            n += sprintf(piece + n, "\\0%03o", (unsigned char)*text);
        ok = guest_run(g, NULL, 0, "printf %%b '%s' >>%s", piece, path) == 0;
    }
    return ok || complain("cannot write %s in the guest", path);
}

bool guest_start(struct guest *g, const struct guest_options *o)
{
    struct line l = {.n = 0};
    char log[128];
    const char *tmp = getenv("TMPDIR");
    int pair[2];
    memset(g, 0, sizeof(*g));
    g->wire = g->orders = -1;
    snprintf(g->dir, sizeof(g->dir), "%.60s/espalier-guest-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(g->dir) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return complain("no guest: %s", strerror(errno));
    g->orders = pair[0];
    fcntl(pair[0], F_SETFD, FD_CLOEXEC); // that its end is seen
    if (!o->tap && (g->wire = wire_open(g)) < 0)
        return false;
    command(&l, g, o, pair[1]);
    snprintf(log, sizeof(log), "%s/qemu.log", g->dir);
    g->pid = spawn(log, o->ns, l.argv);
    close(pair[1]);
    if (answer(g, 0, NULL, 0) == 0)
        return true;
    guest_log(g);
    return complain("the guest does not come up");
}

void guest_stop(struct guest *g)
{
    stop(&g->pid, SIGKILL, 10000);
    if (g->orders >= 0)
        close(g->orders);
    if (g->wire >= 0)
        close(g->wire);
    if (g->dir[0])
        sh("rm -rf %s", g->dir);
    memset(g, 0, sizeof(*g));
    g->wire = g->orders = -1;
}

void guest_log(const struct guest *g)
{
    char out[8192] = "";
    sh_read(out, sizeof(out), "cd %s && tail -n 30 console.log qemu.log | tr -d '\\r' | cut -c 1-200",
            g->dir);
    fputs(out, stderr);
}

// ---- QEMU itself

bool guest_monitor(struct guest *g, const char *command)
{
    struct sockaddr_un it = {.sun_family = AF_UNIX};
    char said[4096] = "";
    size_t n = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), prompts = 0;
    snprintf(it.sun_path, sizeof(it.sun_path), "%.80s/monitor", g->dir);
    bool ok =
        fd >= 0 && connect(fd, (struct sockaddr *)&it, sizeof(it)) == 0 && dprintf(fd, "%s\n", command) > 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (ok && prompts < 2 && n < sizeof(said) - 1) {
        ssize_t r = poll(&p, 1, GUEST_PATIENCE_MS) == 1 ? read(fd, said + n, sizeof(said) - 1 - n) : -1;
        ok = r > 0;
        n += ok ? (size_t)r : 0;
        said[n] = 0;
        prompts = 0;
        for (const char *at = said; (at = strstr(at, "(qemu)")); at++)
            prompts++;
    }
    if (fd >= 0)
        close(fd);
    return (ok && !strstr(said, "Error")) || complain("QEMU, told to %s: %s", command, said);
}

// ---- frames

bool guest_frame(struct guest *g, const uint8_t *frame, size_t len)
{
    struct sockaddr_un it = {.sun_family = AF_UNIX};
    snprintf(it.sun_path, sizeof(it.sun_path), "%.80s/guest", g->dir);
    return sendto(g->wire, frame, len, 0, (struct sockaddr *)&it, sizeof(it)) == (ssize_t)len ||
           complain("no frame to the guest: %s", strerror(errno));
}

size_t guest_next(struct guest *g, uint8_t *frame, size_t size, int timeout_ms)
{
    struct pollfd p = {.fd = g->wire, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) != 1)
        return 0;
    ssize_t n = recv(g->wire, frame, size, 0);
    return n < 0 ? 0 : (size_t)n;
}
