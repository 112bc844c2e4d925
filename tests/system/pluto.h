// SPDX-License-Identifier: Apache-2.0
// libreswan's pluto as the daemon of a site. This kernel has no ESP: pluto is only told that it had
// (peers/no_esp_netlink.c), so that there are SAs and no traffic. peers: what peers/get.sh has made, and
// no_esp_netlink.so in it.
#ifndef TESTS_PLUTO_H
#define TESTS_PLUTO_H

#include "tests/system/harness.h"

// First: its folders and an empty database of certificates.
bool pluto_files(const char *peers, struct site *s);
bool pluto_authority(const char *peers, struct site *s, const char *pem, const char *name);
bool pluto_certificate(const char *peers, struct site *s, const char *p12, const char *password);
// With the lines of `conn site`, those behind "left = the site's" and "right = the peer's", and the lines of
// its file of secrets.
bool pluto_start(const char *peers, struct site *s, const char *conn, const char *secrets);
__attribute__((format(printf, 5, 6))) int pluto_whack(const char *peers, struct site *s, char *out,
                                                      size_t size, const char *args, ...);
// In its status there is one IKE SA and one pair of ESP or AH SAs with these SPIs, and no other.
bool pluto_has(const char *peers, struct site *s, uint32_t spi_in, uint32_t spi_out);
bool pluto_has_spis(const char *peers, struct site *s, uint32_t spi_in, uint32_t spi_out); // others too

#endif
