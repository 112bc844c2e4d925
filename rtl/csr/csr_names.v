// SPDX-License-Identifier: Apache-2.0
// Names of the counters: 32 ASCII bytes each, zero padded, first letter in the lowest byte of word 0. A counter by status is
// called drop_ and the status; the one of OK is packets_OK.
//
// Combinational. Contract: the names are those of the register source; tests/rtl/test_top.c compares them.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module csr_names (
    input  wire [5:0]  index,
    input  wire [2:0]  word,
    output wire [31:0] value
);
    // as written, the first letter is in the highest byte that is not zero
    reg [255:0] name;
    always @* begin
        name = 256'd0;
        if (!index[5])
            case ({2'd0, index})
            `ESPC_COUNTER_CYCLES_BUSY: name = "CYCLES_BUSY";
            `ESPC_COUNTER_ENC_PACKETS: name = "ENC_PACKETS";
            `ESPC_COUNTER_ENC_BYTES: name = "ENC_BYTES";
            `ESPC_COUNTER_ENC_BEATS: name = "ENC_BEATS";
            `ESPC_COUNTER_ENC_DROPS: name = "ENC_DROPS";
            `ESPC_COUNTER_DEC_PACKETS: name = "DEC_PACKETS";
            `ESPC_COUNTER_DEC_BYTES: name = "DEC_BYTES";
            `ESPC_COUNTER_DEC_BEATS: name = "DEC_BEATS";
            `ESPC_COUNTER_DEC_DROPS: name = "DEC_DROPS";
            `ESPC_COUNTER_DMA_READ_BEATS: name = "DMA_READ_BEATS";
            `ESPC_COUNTER_DMA_WRITE_BEATS: name = "DMA_WRITE_BEATS";
            `ESPC_COUNTER_SA_COMMANDS: name = "SA_COMMANDS";
            `ESPC_COUNTER_SA_REFUSED: name = "SA_REFUSED";
            `ESPC_COUNTER_DESC_FETCHED: name = "DESC_FETCHED";
            `ESPC_COUNTER_COMPLETIONS: name = "COMPLETIONS";
            `ESPC_COUNTER_DOORBELLS: name = "DOORBELLS";
            default: name = 256'd0;
            endcase
        else
            case ({11'd0, index[4:0]})
            `ESPC_STATUS_OK: name = "packets_OK";
            `ESPC_STATUS_SA_INVALID: name = "drop_SA_INVALID";
            `ESPC_STATUS_SA_STALE_GEN: name = "drop_SA_STALE_GEN";
            `ESPC_STATUS_SA_DRAINING: name = "drop_SA_DRAINING";
            `ESPC_STATUS_LEASE_END: name = "drop_LEASE_END";
            `ESPC_STATUS_SEQ_OVERFLOW: name = "drop_SEQ_OVERFLOW";
            `ESPC_STATUS_HARD_LIMIT: name = "drop_HARD_LIMIT";
            `ESPC_STATUS_REPLAY_OLD: name = "drop_REPLAY_OLD";
            `ESPC_STATUS_REPLAY_SEEN: name = "drop_REPLAY_SEEN";
            `ESPC_STATUS_NO_SA: name = "drop_NO_SA";
            `ESPC_STATUS_SA_MISMATCH: name = "drop_SA_MISMATCH";
            `ESPC_STATUS_ICV_FAIL: name = "drop_ICV_FAIL";
            `ESPC_STATUS_TRUNCATED: name = "drop_TRUNCATED";
            `ESPC_STATUS_BAD_IP: name = "drop_BAD_IP";
            `ESPC_STATUS_FRAGMENT: name = "drop_FRAGMENT";
            `ESPC_STATUS_BAD_PAD: name = "drop_BAD_PAD";
            `ESPC_STATUS_BAD_NEXT_HEADER: name = "drop_BAD_NEXT_HEADER";
            `ESPC_STATUS_TOO_LONG: name = "drop_TOO_LONG";
            `ESPC_STATUS_ECN_CE: name = "drop_ECN_CE";
            `ESPC_STATUS_BAD_DESC: name = "drop_BAD_DESC";
            `ESPC_STATUS_DMA_ERROR: name = "drop_DMA_ERROR";
            `ESPC_STATUS_ABORTED: name = "drop_ABORTED";
            `ESPC_STATUS_DUMMY: name = "drop_DUMMY";
            `ESPC_STATUS_NOT_ESP: name = "drop_NOT_ESP";
            `ESPC_STATUS_LEASE_EXPIRED: name = "drop_LEASE_EXPIRED";
            default: name = 256'd0;
            endcase
    end

    // Left-align, then reverse: letter n goes to byte n.
    reg [255:0] left;
    integer     i;
    always @* begin
        left = name;
        for (i = 0; i < 31; i = i + 1)
            if (left[255:248] == 8'd0)
                left = {left[247:0], 8'd0};
    end
    assign value = {left[8*(28 - 4*word)+:8], left[8*(29 - 4*word)+:8],
                    left[8*(30 - 4*word)+:8], left[8*(31 - 4*word)+:8]};
endmodule

`default_nettype wire
