// SPDX-License-Identifier: Apache-2.0
// Requests of ctl that take time. Each ends in exactly one RESULT.
#ifndef CTRL_IKE_JOBS_H
#define CTRL_IKE_JOBS_H

#include "ctrl/ike/room.h"
#include "ctrl/lib/conn.h"

struct conn;
struct ike;
enum job_kind { JOB_INITIATE, JOB_TERMINATE, JOB_LOAD };
struct job { // a request of ctl that takes time
    struct job *next;
    struct ike *ike;
    enum job_kind kind;
    uint32_t id, req, sa_id, remaining, matched;
    bool failed, anew; // anew: it has begun once more
    bool unasked;      // JOB_LOAD: path has died and is to be asked once more;
    bool again;        // ... it has been, or is given what the last one had
    struct conn *conn; // JOB_LOAD: what takes its place when path has said yes; counted
    char child[NAME_MAX_LEN], why[512];
    struct timer timer;
};

struct job *job_new(struct ike *ike, enum job_kind kind, uint32_t req);
struct job *job_find(struct ike *ike, uint32_t id);
bool job_waits(const struct ike *ike, uint32_t sa_id); // for what is initiated by that IKE SA
void job_step(struct ike *ike, uint32_t id, bool ok,
              const char *why); // one of those that it waits for is done
void job_limit(struct job *j, uint32_t ms);
void job_end(struct job *j, bool ok, const char *text);
void job_free_all(struct ike *ike); // without a word

#endif
