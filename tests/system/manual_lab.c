// SPDX-License-Identifier: Apache-2.0
#include "tests/system/manual_lab.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/system/pluto.h"
#include "tests/system/steps.h"

const char *manual_peers(void)
{
    return getenv("ESPALIER_PEERS");
}

// ---- a machine of its own for each site

static bool is_mounted(void *dir)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/mounted", (const char *)dir);
    return access(path, F_OK) == 0;
}

// A process holds the mounts, which nobody else sees and which go with it.
static bool machine_up(struct manual_lab *m, struct site *s, int n)
{
    char cmd[900], log[200];
    const char *d = s->dir;
    snprintf(log, sizeof(log), "%s/mounts.log", d);
    snprintf(cmd, sizeof(cmd),
             "exec unshare -m --propagation private sh -c 'mkdir -p %s/etc && mount -t tmpfs none /run && "
             "mount --bind %s/etc /etc/swanctl && : >%s/mounted && exec sleep 86400'",
             d, d, d);
    char *argv[] = {"sh", "-c", cmd, NULL};
    m->mounts[n] = spawn(log, s->ns, argv);
    return wait_for(is_mounted, s->dir, PATIENCE_MS) ||
           complain("%s has no /etc/swanctl of its own", s->name);
}

// scp copies from one machine's /etc/swanctl to the other's, sudo is root already.
static bool helpers(const struct manual_lab *m)
{
    const char *d = m->lab.dir;
    char path[160];
    if (sh("mkdir %s/bin && printf '#!/bin/sh\\nexec \"$@\"\\n' >%s/bin/sudo && chmod +x %s/bin/sudo", d, d,
           d))
        return complain("cannot make %s/bin", d);
    snprintf(path, sizeof(path), "%s/bin/scp", d);
    FILE *f = fopen(path, "w");
    if (!f)
        return complain("cannot write %s", path);
    fprintf(f,
            "#!/bin/sh\nset -eu\nfor a; do shift; case $a in west:/etc/swanctl/*|east:/etc/swanctl/*)\n"
            "a=%s/${a%%%%:*}/etc/${a#*:/etc/swanctl/} ;; esac; set -- \"$@\" \"$a\"; done\nexec cp \"$@\"\n",
            d);
    return fclose(f) == 0 && chmod(path, 0755) == 0;
}

bool manual_lab_up(struct manual_lab *m)
{
    memset(m, 0, sizeof(*m));
    if (!lab_up(&m->lab, "espman"))
        return false;
    snprintf(m->pcap, sizeof(m->pcap), "%s/wire.pcap", m->lab.dir);
    return helpers(m) && machine_up(m, &m->lab.west, 0) && machine_up(m, &m->lab.east, 1) &&
           capture_start(&m->lab, &m->lab.west, m->pcap);
}

void manual_lab_down(struct manual_lab *m)
{
    stop(&m->lab.west.daemon, SIGTERM, 4000);
    stop(&m->lab.east.daemon, SIGTERM, 4000);
    for (int i = 0; i < 2; i++) {
        stop(&m->card[i], SIGTERM, 4000);
        stop(&m->mounts[i], SIGKILL, 1000);
    }
    lab_down(&m->lab);
}

// ---- blocks

static bool wrong(const struct page *p, const struct block *b, const char *what)
{
    return complain(MANUAL_DIR "/%s.md:%d: %s", p->name, b->line, what);
}

// The start of a command line on the site's machine. The programs are those that were built.
static const char *enter(const struct manual_lab *m, const struct site *s, char *buf, size_t size)
{
    char cwd[400];
    if (!getcwd(cwd, sizeof(cwd)))
        return NULL;
    snprintf(
        buf, size,
        "nsenter --net=%s --mount=/proc/%d/ns/mnt sh -c 'cd %s && PATH=%s/bin:%s:/usr/sbin:/sbin:$PATH && "
        "export PATH && "
        "exec \"$@\"' sh",
        s->ns, (int)m->mounts[s == &m->lab.east], cwd, m->lab.dir, bin_dir());
    return buf;
}

static bool write_text(const struct site *s, char path[160], const char *before, const struct block *b)
{
    snprintf(path, 160, "%s/block", s->dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return complain("cannot write %s", path);
    fprintf(f, "%s%s", before, b->text);
    return fclose(f) == 0;
}

static bool write_named(const struct site *s, const char *name, const char *text)
{
    char path[240];
    snprintf(path, sizeof(path), "%s/page-%s", s->dir, name);
    FILE *f = fopen(path, "w");
    if (!f)
        return complain("cannot write %s", path);
    fputs(text, f);
    return fclose(f) == 0;
}

static bool read_named(const struct site *s, const char *name, char *buf, size_t size)
{
    char path[240];
    snprintf(path, sizeof(path), "%s/page-%s", s->dir, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return complain("the page has not written %s", name);
    buf[fread(buf, 1, size - 1, f)] = 0;
    fclose(f);
    return true;
}

static bool run_file(struct manual_lab *m, struct site *s, const struct page *p, const struct block *b,
                     const char *file)
{
    char path[160], machine[1200], dir[160], *end;
    snprintf(dir, sizeof(dir), "%s", file);
    end = strrchr(dir, '/');
    if (file[0] != '/' || !end)
        return wrong(p, b, "file= needs an absolute path");
    *end = 0;
    printf("%s# cat >%s\n%s", s->name, file, b->text);
    if (strncmp(file, "/etc/ipsec.", 11) == 0) // libreswan's, which the machine itself may have
        return write_named(s, strrchr(file, '/') + 1, b->text);
    if (strncmp(file, "/etc/swanctl/", 13) != 0 && strncmp(file, "/run/", 5) != 0)
        return wrong(p, b,
                     "file= is in /etc/swanctl, /run or one of /etc/ipsec.*: nothing else is the site's own");
    return write_text(s, path, "", b) && enter(m, s, machine, sizeof(machine)) &&
           (sh("%s sh -c 'mkdir -p %s && cat %s >%s && chmod 600 %s'", machine, dir, path, file, file) == 0 ||
            wrong(p, b, "the file cannot be written"));
}

static bool run_shell(struct manual_lab *m, struct site *s, const struct page *p, const struct block *b)
{
    char path[160], machine[1200], status[16] = "0", text[80];
    block_label(b, "exit", status, sizeof(status));
    printf("%s# %s", s->name, b->text);
    if (!write_text(s, path, "", b) || !enter(m, s, machine, sizeof(machine)))
        return false;
    int rc = sh_read(m->out, sizeof(m->out), "%s sh -eu %s 2>&1 </dev/null", machine, path);
    fputs(m->out, stdout);
    if (rc == atoi(status))
        return true;
    snprintf(text, sizeof(text), "exit status %d instead of %s:", rc, status);
    complain("%s", m->out);
    return wrong(p, b, text);
}

// The steps of a job for CI but `make …`, which installs and builds, in a folder with what is built.
static bool run_job(struct manual_lab *m, struct site *s, const struct page *p, const struct block *b)
{
    static const char step[] = "- run: ";
    char line[400], machine[1200];
    if (sh("ln -sfn %s/.. %s/build", bin_dir(), s->dir) || !enter(m, s, machine, sizeof(machine)))
        return complain("cannot make the job's folder");
    for (const char *at = strstr(b->text, step); at; at = strstr(at, step)) {
        at += sizeof(step) - 1;
        snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
        if (strncmp(line, "make ", 5) == 0)
            continue;
        printf("%s# %s\n", s->name, line);
        int rc = sh_read(m->out, sizeof(m->out), "%s sh -c 'cd %s && %s' 2>&1", machine, s->dir, line);
        fputs(m->out, stdout);
        if (rc)
            return complain("%s", m->out), wrong(p, b, "a step of the job fails");
    }
    return true;
}

struct serving {
    struct manual_lab *m;
    struct site *s;
};

static bool serves(void *ctx)
{
    struct serving *w = ctx;
    char machine[1200];
    return enter(w->m, w->s, machine, sizeof(machine)) && sh("%s swanctl --stats >/dev/null", machine) == 0;
}

// What the block says, and left running.
static bool run_espalierd(struct manual_lab *m, struct site *s, const struct page *p, const struct block *b)
{
    char path[160], machine[1200], cmd[1500], log[200];
    if (!write_text(s, path, "exec ", b) || !enter(m, s, machine, sizeof(machine)))
        return false;
    printf("%s# %s", s->name, b->text);
    snprintf(log, sizeof(log), "%s/daemon.log", s->dir);
    snprintf(cmd, sizeof(cmd), "exec %s sh %s", machine, path);
    char *argv[] = {"sh", "-c", cmd, NULL};
    stop(&s->daemon, SIGTERM, 4000);
    s->charon = false;
    s->daemon = spawn(log, NULL, argv);
    return wait_for(serves, &(struct serving){m, s}, PATIENCE_MS) || wrong(p, b, "it does not serve");
}

// strongSwan as this machine can run it: a service manager and the kernel's ESP are not there, so it is
// charon itself, with kernel-libipsec. What it is told comes by swanctl, as the page has it.
static bool run_charon(struct manual_lab *m, struct site *s, const struct page *p, const struct block *b)
{
    char path[200], machine[1200], cmd[1600], log[200];
    snprintf(path, sizeof(path), "%s/charon.conf", s->dir);
    snprintf(log, sizeof(log), "%s/daemon.log", s->dir);
    FILE *f = fopen(path, "w");
    if (!f || !enter(m, s, machine, sizeof(machine)))
        return complain("cannot write %s", path);
    fprintf(
        f,
        "charon {\n  load = random nonce pem pkcs1 pkcs8 pubkey x509 md4 md5 des eap-identity eap-mschapv2 "
        "revocation constraints openssl kdf drbg "
        "gcm "
        "aes sha1 sha2 hmac curve25519 kernel-libipsec kernel-netlink socket-default vici updown counters\n"
        "  filelog { main { path = %s/charon.log\n default = 1\n flush_line = yes } }\n}\n",
        s->dir);
    fclose(f);
    printf("%s# %s", s->name, b->text);
    if (sh("cd %s/etc && mkdir -p conf.d x509 x509ca x509ocsp x509aa x509ac x509crl pubkey private rsa ecdsa "
           "bliss "
           "pkcs8 pkcs12",
           s->dir)) // as its package has them
        return complain("cannot make swanctl's folders");
    snprintf(cmd, sizeof(cmd), "exec %s env STRONGSWAN_CONF=%s /usr/lib/ipsec/charon", machine, path);
    char *argv[] = {"sh", "-c", cmd, NULL};
    s->charon = true;
    s->daemon = spawn(log, NULL, argv);
    return wait_for(serves, &(struct serving){m, s}, PATIENCE_MS) || wrong(p, b, "charon does not serve");
}

// What the harness says itself of a connection of pluto's goes.
static void drop_lines(char *text, const char *word)
{
    for (char *at = strstr(text, word); at; at = strstr(at, word))
        memmove(at, strchrnul(at + 1, '\n'), strlen(strchrnul(at + 1, '\n')) + 1);
}

// libreswan, unpacked beside this machine's programs: what stands in its two files is the harness' connection
// `site`, which nothing is to start by itself, and there are SAs and no ESP (pluto.h).
static bool run_pluto(struct site *s, const struct page *p, const struct block *b)
{
    char conf[2000], secrets[400];
    printf("%s# %s", s->name, b->text);
    if (!read_named(s, "west.conf", conf, sizeof(conf)) ||
        !read_named(s, "ipsec.secrets", secrets, sizeof(secrets)))
        return wrong(p, b, "libreswan's files are not there");
    drop_lines(conf, "\n  ikev2=insist");
    drop_lines(conf, "\n  auto=");
    const char *lines = strchr(conf, '\n');
    if (strncmp(conf, "conn ", 5) != 0 || !lines)
        return wrong(p, b, "its file does not begin with conn");
    return (pluto_files(manual_peers(), s) && pluto_start(manual_peers(), s, lines + 1, secrets)) ||
           wrong(p, b, "pluto does not start");
}

static bool card_is_there(void *ctx)
{
    struct serving *w = ctx;
    char machine[1200];
    return enter(w->m, w->s, machine, sizeof(machine)) &&
           sh("%s test -S /run/pci/devices/0000:01:00.0/vfio-user.sock", machine) == 0;
}

static bool run_card(struct manual_lab *m, struct site *s, const struct page *p, const struct block *b)
{
    char path[160], machine[1200], cmd[1500], log[200];
    if (!write_text(s, path, "exec ", b) || !enter(m, s, machine, sizeof(machine)))
        return false;
    printf("%s# %s", s->name, b->text);
    snprintf(log, sizeof(log), "%s/card.log", s->dir);
    snprintf(cmd, sizeof(cmd), "exec %s sh %s", machine, path);
    char *argv[] = {"sh", "-c", cmd, NULL};
    pid_t *card = &m->card[s == &m->lab.east];
    stop(card, SIGTERM, 4000);
    *card = spawn(log, NULL, argv);
    return wait_for(card_is_there, &(struct serving){m, s}, PATIENCE_MS) || wrong(p, b, "no card appears");
}

static bool run_daemon(struct manual_lab *m, struct site *s, const struct page *p, const struct block *b,
                       const char *daemon)
{
    if (strcmp(daemon, "espalierd") == 0)
        return run_espalierd(m, s, p, b);
    if (strcmp(daemon, "charon") == 0)
        return run_charon(m, s, p, b);
    if (strcmp(daemon, "card") == 0)
        return run_card(m, s, p, b);
    if (strcmp(daemon, "pluto") == 0)
        return run_pluto(s, p, b);
    return wrong(p, b, "daemon= names none that is known");
}

static bool run_at(struct manual_lab *m, struct site *s, const struct page *p, const struct block *b)
{
    char value[160];
    if (block_label(b, "file", value, sizeof(value)))
        return run_file(m, s, p, b, value);
    if (block_label(b, "daemon", value, sizeof(value)))
        return run_daemon(m, s, p, b, value);
    if (block_label(b, "job", value, sizeof(value)))
        return run_job(m, s, p, b);
    return run_shell(m, s, p, b);
}

// Each line of the block is in the output of the command before it.
static bool was_shown(struct manual_lab *m, const struct page *p, const struct block *b)
{
    char line[400];
    for (const char *at = b->text, *end; *at; at = *end ? end + 1 : end) {
        end = strchrnul(at, '\n');
        snprintf(line, sizeof(line), "%.*s", (int)(end - at), at);
        if (shows(m->out, line))
            continue;
        complain("expected \"%s\" in:\n%s", line, m->out);
        return wrong(p, b, "this was not shown");
    }
    return true;
}

// What the command has shown of its only CHILD SA is what pluto has on the other machine.
static bool pluto_agrees(struct manual_lab *m, const struct page *p, const struct block *b)
{
    unsigned long spi[2] = {0};
    static const char *const names[] = {"\"spi-in\": \"", "\"spi-out\": \""};
    for (int i = 0; i < 2; i++) {
        const char *at = strstr(m->out, names[i]);
        spi[i] = at ? strtoul(at + strlen(names[i]), NULL, 16) : 0;
    }
    return (spi[0] && pluto_has(manual_peers(), &m->lab.east, (uint32_t)spi[0], (uint32_t)spi[1])) ||
           wrong(p, b, "libreswan does not have these SPIs");
}

bool block_run(struct manual_lab *m, const struct page *p, const struct block *b)
{
    char at[16];
    if (block_not_run(b))
        return true;
    if (block_label(b, "shown", at, sizeof(at)))
        return was_shown(m, p, b);
    if (!block_label(b, "at", at, sizeof(at)))
        return wrong(p, b, "the block says neither where it is run nor why it is not");
    if (strcmp(at, "both") == 0)
        return run_at(m, &m->lab.west, p, b) && run_at(m, &m->lab.east, p, b);
    if (strcmp(at, "west") != 0 && strcmp(at, "east") != 0)
        return wrong(p, b, "at= is west, east or both");
    return run_at(m, at[0] == 'w' ? &m->lab.west : &m->lab.east, p, b) &&
           (!block_label(b, "pluto-agrees", at, sizeof(at)) || pluto_agrees(m, p, b));
}
