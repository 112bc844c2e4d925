// SPDX-License-Identifier: Apache-2.0
// The log as entries of systemd's journal, by its native protocol: a datagram each, of fields a line each.
//   PRIORITY (5, 6, 7: levels to 0, 1, above), SYSLOG_IDENTIFIER=espalierd, ESPALIER_PROCESS,
//   ESPALIER_SUBSYSTEM, ESPALIER_LEVEL, of an IKE SA ESPALIER_CONNECTION and ESPALIER_IKE_ID, of a CHILD SA
//   ESPALIER_CHILD and ESPALIER_CHILD_ID too, MESSAGE
#ifndef CTRL_LOG_JOURNAL_H
#define CTRL_LOG_JOURNAL_H

#include "espalier/error.h"

#define LOG_JOURNAL_PATH "/run/systemd/journal/socket"
enum { LOG_JOURNAL_FD = 5 }; // where each process of the daemon has the socket, which one alone opens

// A connected socket, close-on-exec, or -errno: err names the path.
int log_journal_open(const char *path, struct esp_error *err);
void log_set_journal(int fd); // instead of what log_set_output and log_set_json said

#endif
