// SPDX-License-Identifier: Apache-2.0
#include "tests/system/pluto.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PLUTO_MS = 15000 };

#define LIBRARIES "LD_LIBRARY_PATH=%s/root/usr/lib/x86_64-linux-gnu"
// Those of NSS are there, or are this Debian's (where pluto is, its libraries are installed).
#define TOOLS "p=%s; PATH=$p/root/usr/bin:$PATH LD_LIBRARY_PATH=$p/root/usr/lib/x86_64-linux-gnu"

bool pluto_files(const char *peers, struct site *s)
{
    const char *d = s->dir;
    return sh("mkdir -p %s/run %s/nss %s/ipsec.d/policies && " TOOLS
              " certutil -N -d sql:%s/nss --empty-password",
              d, d, d, peers, d) == 0 ||
           complain("cannot make pluto's files");
}

bool pluto_authority(const char *peers, struct site *s, const char *pem, const char *name)
{
    return sh(TOOLS " certutil -A -d sql:%s/nss -n %s -t CT,, -i %s", peers, s->dir, name, pem) == 0 ||
           complain("pluto's database does not take %s", pem);
}

bool pluto_certificate(const char *peers, struct site *s, const char *p12, const char *password)
{
    return sh(TOOLS " pk12util -i %s -d sql:%s/nss -W %s -K ''", peers, p12, s->dir, password) == 0 ||
           complain("pluto's database does not take %s", p12);
}

int pluto_whack(const char *peers, struct site *s, char *out, size_t size, const char *args, ...)
{
    char line[300];
    va_list ap;
    va_start(ap, args);
    vsnprintf(line, sizeof(line), args, ap);
    va_end(ap);
    return sh_read(out, size,
                   LIBRARIES " nsenter --net=%s %s/root/usr/libexec/ipsec/whack --ctlsocket %s/run/pluto.ctl "
                             "%s 2>&1",
                   peers, s->ns, peers, s->dir, line);
}

static bool write_file(const struct site *s, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static bool write_file(const struct site *s, const char *name, const char *fmt, ...)
{
    char path[240];
    va_list ap;
    snprintf(path, sizeof(path), "%s/%s", s->dir, name);
    FILE *f = fopen(path, "w");
    if (!f)
        return complain("cannot write %s", path);
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
    return fclose(f) == 0;
}

struct waiting {
    const char *peers;
    struct site *s;
};

static bool answers(void *ctx)
{
    struct waiting *w = ctx;
    char out[4096];
    return pluto_whack(w->peers, w->s, out, sizeof(out), "--globalstatus") == 0;
}

static void run(const char *peers, struct site *s)
{
    char cmd[2400], log[200];
    const char *d = s->dir;
    snprintf(
        cmd, sizeof(cmd),
        "exec unshare -m sh -c 'mount -t tmpfs none /run; mount --bind %s/root/usr/libexec /usr/libexec; "
        "exec env " LIBRARIES " LD_PRELOAD=%s/no_esp_netlink.so /usr/libexec/ipsec/pluto --nofork "
        "--config %s/ipsec.conf --logfile %s/pluto.log --rundir %s/run --nssdir sql:%s/nss --ipsecdir "
        "%s/ipsec.d --secretsfile %s/ipsec.secrets --no-dnssec'",
        peers, peers, peers, d, d, d, d, d, d);
    char *argv[] = {"sh", "-c", cmd, NULL};
    snprintf(log, sizeof(log), "%s/stdout.log", d);
    s->daemon = spawn(log, s->ns, argv);
}

bool pluto_start(const char *peers, struct site *s, const char *conn, const char *secrets)
{
    char out[4096];
    if (!write_file(s, "ipsec.secrets", "%s", secrets) ||
        !write_file(
            s, "ipsec.conf",
            "config setup\n  logfile=%s/pluto.log\nconn site\n  ikev2=insist\n  leftupdown=/bin/true\n"
            "  auto=ignore\n%s",
            s->dir, conn))
        return false;
    run(peers, s);
    if (!wait_for(answers, &(struct waiting){peers, s}, PLUTO_MS))
        return complain("pluto does not come up");
    pluto_whack(peers, s, out, sizeof(out), "--listen");
    return sh(LIBRARIES " nsenter --net=%s %s/root/usr/libexec/ipsec/addconn --config %s/ipsec.conf "
                        "--ctlsocket %s/run/pluto.ctl site",
              peers, s->ns, peers, s->dir, s->dir) == 0 ||
           complain("pluto does not take its connection");
}

// "esp.SPI@" or "ah.SPI@" for IPv4, "esp:SPI@" for IPv6
static bool has_spi(const char *status, uint32_t spi)
{
    static const char *const before[] = {" esp.", " esp:", " ah."};
    bool found = false;
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        char text[24];
        snprintf(text, sizeof(text), "%s%x@", before[i], spi);
        found = found || strstr(status, text);
    }
    return found;
}

static bool status_has(const char *status, uint32_t spi_in, uint32_t spi_out)
{
    return has_spi(status, spi_in) && has_spi(status, spi_out);
}

bool pluto_has_spis(const char *peers, struct site *s, uint32_t spi_in, uint32_t spi_out)
{
    static char out[65536];
    return pluto_whack(peers, s, out, sizeof(out), "--status") == 0 && status_has(out, spi_in, spi_out);
}

bool pluto_has(const char *peers, struct site *s, uint32_t spi_in, uint32_t spi_out)
{
    static char out[65536];
    return pluto_whack(peers, s, out, sizeof(out), "--status") == 0 && status_has(out, spi_in, spi_out) &&
           strstr(out, "IKE SAs: total(1)") && strstr(out, "IPsec SAs: total(1)");
}
