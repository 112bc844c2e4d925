// SPDX-License-Identifier: Apache-2.0
// C interface to the Verilated esp_pipe for RTL tests: packets and SA commands are queued, the clock is
// stepped, what came out is fetched. Stalls can be thrown in at every stream, and each output packet carries
// the cycles of its beats.
#ifndef TESTS_RTL_PIPE_SHIM_H
#define TESTS_RTL_PIPE_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum pipe_dir { PIPE_ENC = 0, PIPE_DEC = 1 };

struct pipe_out {
    uint16_t tag, status, gen, len;
    uint64_t seq;
    uint32_t sa;
    bool soft, lease_low, src_changed;
    unsigned beats;
    uint64_t first_cycle, last_cycle; // of its output beats
    uint64_t in_cycle;                // its first input beat
    size_t size;                      // bytes under tkeep
    uint8_t data[10240];
};

struct pipe;

struct pipe *pipe_new(unsigned lanes); // 1 or 4; NULL otherwise; comes out of reset, zeroized
void pipe_free(struct pipe *p);
// percent of cycles in which the streams' valid (in) or ready (out) is held low
void pipe_stalls(struct pipe *p, unsigned in_percent, unsigned out_percent, uint32_t seed);
void pipe_push(struct pipe *p, enum pipe_dir dir, const void *data, size_t size, uint16_t tag, uint32_t sa,
               uint16_t gen);
// as above with a length in the side band that need not be the number of bytes
void pipe_push_len(struct pipe *p, enum pipe_dir dir, const void *data, size_t size, uint16_t len,
                   uint16_t tag, uint32_t sa, uint16_t gen);
bool pipe_pop(struct pipe *p, enum pipe_dir dir, struct pipe_out *out);
size_t pipe_out_count(struct pipe *p, enum pipe_dir dir);
void pipe_step(struct pipe *p, unsigned cycles);
// steps until `count` packets wait at the output of `dir`; false after `limit` cycles
bool pipe_run(struct pipe *p, enum pipe_dir dir, size_t count, unsigned limit);
// queues a command (blob NULL: none); pipe_result steps until its result is there and returns the status, -1
// if none comes
void pipe_command(struct pipe *p, const uint8_t cmd[64], const uint8_t blob[512]);
int pipe_result(struct pipe *p, uint8_t result[64]);
void pipe_zeroize(struct pipe *p); // one pulse
bool pipe_zeroized(struct pipe *p);
bool pipe_busy(struct pipe *p);
// all memory of the model that holds registers, RAM and ports, for the search for keys
const uint8_t *pipe_memory(const struct pipe *p, size_t *size);
uint64_t pipe_cycles(struct pipe *p);
uint64_t pipe_done_pulses(struct pipe *p, enum pipe_dir dir);

#ifdef __cplusplus
}
#endif
#endif
