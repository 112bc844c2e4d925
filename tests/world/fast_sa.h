// SPDX-License-Identifier: Apache-2.0
// The SA slots of the fast card: the SPI table with its four ways, SA commands, and packets by the software
// engine's own ESP. Verdicts, results and refusals are those of rtl/esp; tests/system/card_model_twin.c holds
// the two against each other.
#ifndef TESTS_WORLD_FAST_SA_H
#define TESTS_WORLD_FAST_SA_H

#include "driver/soft/sa.h"
#include "hw/regs/gen/espalier_card.h"

enum { FAST_SLOTS = 1024, FAST_WAYS = 4, FAST_PLACES = 2048, FAST_MAX_LEN = 9216 };

struct fast_slot {
    struct esp_sa *sa; // NULL: invalid
    uint16_t generation;
    uint64_t deadline; // outbound, of the card's clock; all ones: none
};
struct fast_sas {
    struct fast_slot slot[2][FAST_SLOTS]; // by enum esp_dir
    uint16_t way[FAST_WAYS][FAST_PLACES]; // inbound slot + 1, 0: free
    struct spi_table spis;
    uint64_t now; // the card's clock
    bool keyed;   // an SA was added since all was zeroised
    uint8_t scratch[65536];
};

// What a packet leaves behind; its octets are in the buffer that fast_packet was given.
struct fast_verdict {
    uint64_t seq;
    uint32_t slot;
    uint16_t generation, status, out_len, flags;
};

void fast_spi_places(uint32_t spi, unsigned place[FAST_WAYS]); // where an SPI may sit in each way
void fast_sas_init(struct fast_sas *s);
void fast_sas_zeroise(struct fast_sas *s);
// blob: of an ADD or ENDPOINT. The result's fields are set where the command gives some.
uint16_t fast_sa_command(struct fast_sas *s, const struct espc_sa_command *c, const struct espc_sa_blob *blob,
                         struct espc_sa_result *result);
// in: the whole packet; out: room for 65,536 octets, and not the host's.
void fast_packet(struct fast_sas *s, const struct espc_packet_desc *d, const uint8_t *in, uint8_t *out,
                 struct fast_verdict *v);

#endif
