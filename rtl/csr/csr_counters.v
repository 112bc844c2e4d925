// SPDX-License-Identifier: Apache-2.0
// The 64-bit counters: enum counter, then the number of packets by status. They count through CTRL.RESET; a write to
// SNAPSHOT copies all of them at one instant, and only the copy is read.
//
// The totals are in RAM. What happens in one round of 64 cycles is gathered in a bank of small counters, which is added to
// the totals in the next round, one a cycle, while the other bank gathers; a snapshot copies the totals of one round. So all
// that happened up to 64 cycles after SNAPSHOT is in it, cut for all counters in the same cycle.
// `value` follows `index` in the same cycle. Latency: `hold` is up from SNAPSHOT until the copy is there, at most 196
// cycles. Contract: at most one completion (`done`) a cycle; in the first 64 cycles after `rst` nothing is shown.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module csr_counters (
    input  wire        clk,
    input  wire        rst,
    output wire        hold,
    input  wire        snapshot,
    input  wire        pipe_busy,
    input  wire        enc_beat,
    input  wire        dec_beat,
    input  wire        doorbell,
    input  wire        fetched,
    input  wire        read_beat,
    input  wire        write_beat,
    // completions: source (0 encapsulation, 1 decapsulation, 2 SA command, 3 refused descriptor), status, length
    input  wire        done,
    input  wire [1:0]  done_src,
    input  wire [15:0] done_status,
    input  wire [15:0] done_len,
    input  wire [5:0]  index,
    output wire [63:0] value
);
    localparam BY_STATUS = 32;
    localparam STATUSES = 26;
    localparam USED = BY_STATUS + STATUSES;
    // of 64 lengths of 16 bits
    localparam PW = 22;

    wire       ok = done_status == `ESPC_STATUS_OK;
    wire       enc = done && done_src == 2'd0;
    wire       dec = done && done_src == 2'd1;
    wire       sa = done && done_src == 2'd2;

    // ---- what happens in this cycle
    reg [USED-1:0] hit;
    /* verilator lint_off WIDTH */ // the header's counter numbers are 8 bits wide, the index needs 6
    always @* begin
        hit = {USED{1'b0}};
        hit[`ESPC_COUNTER_CYCLES_BUSY] = pipe_busy;
        hit[`ESPC_COUNTER_ENC_BEATS] = enc_beat;
        hit[`ESPC_COUNTER_DEC_BEATS] = dec_beat;
        hit[`ESPC_COUNTER_DOORBELLS] = doorbell;
        hit[`ESPC_COUNTER_DESC_FETCHED] = fetched;
        hit[`ESPC_COUNTER_DMA_READ_BEATS] = read_beat;
        hit[`ESPC_COUNTER_DMA_WRITE_BEATS] = write_beat;
        hit[`ESPC_COUNTER_COMPLETIONS] = done;
        hit[`ESPC_COUNTER_SA_COMMANDS] = sa;
        hit[`ESPC_COUNTER_SA_REFUSED] = sa && !ok;
        hit[`ESPC_COUNTER_ENC_PACKETS] = enc && ok;
        hit[`ESPC_COUNTER_ENC_BYTES] = enc && ok;
        hit[`ESPC_COUNTER_ENC_DROPS] = enc && !ok;
        hit[`ESPC_COUNTER_DEC_PACKETS] = dec && ok;
        hit[`ESPC_COUNTER_DEC_BYTES] = dec && ok;
        hit[`ESPC_COUNTER_DEC_DROPS] = dec && !ok;
        if (done && !sa && done_status < STATUSES)
            hit[{1'b1, done_status[4:0]}] = 1'b1;
    end
    /* verilator lint_on WIDTH */

    // ---- the two banks: `odd` tells which one gathers; the other one is read out, `slot` by slot
    reg            odd;
    reg  [5:0]     slot;
    // bit b of slot s is at 64 b + s: what is read is one bit of each 64
    wire [64*PW-1:0] gathered;
    wire [PW-1:0]  read_out;
    genvar g, b;
    generate
        for (g = 0; g < 64; g = g + 1) begin : counter
            if (g < USED) begin : used
                localparam BYTES = g == `ESPC_COUNTER_ENC_BYTES || g == `ESPC_COUNTER_DEC_BYTES;
                localparam CW = BYTES ? PW : 7;
                localparam [5:0] ME = g;
                wire [CW-1:0] more;
                if (BYTES) begin : bytes
                    assign more = {{(PW-16){1'b0}}, done_len};
                end else begin : one
                    assign more = 7'd1;
                end
                reg [CW-1:0] bank_0, bank_1;
                always @(posedge clk) begin
                    if (rst || (odd && slot == ME))
                        bank_0 <= {CW{1'b0}};
                    else if (!odd && hit[g])
                        bank_0 <= bank_0 + more;
                    if (rst || (!odd && slot == ME))
                        bank_1 <= {CW{1'b0}};
                    else if (odd && hit[g])
                        bank_1 <= bank_1 + more;
                end
                for (b = 0; b < PW; b = b + 1) begin : spread
                    if (b < CW) begin : there
                        assign gathered[64*b + g] = odd ? bank_0[b] : bank_1[b];
                    end else begin : beyond
                        assign gathered[64*b + g] = 1'b0;
                    end
                end
            end else begin : unused
                for (b = 0; b < PW; b = b + 1) begin : spread
                    assign gathered[64*b + g] = 1'b0;
                end
            end
        end
        for (b = 0; b < PW; b = b + 1) begin : column
            wire [63:0] bits = gathered[64*b +: 64];
            assign read_out[b] = bits[slot];
        end
    endgenerate

    // ---- totals: read, then add and write
    reg  [63:0] total [0:63];
    reg  [63:0] shown [0:63];
    reg         clearing, copying, want, add_copying, add_clearing;
    reg  [5:0]  add_slot;
    reg  [63:0] add_total;
    reg  [PW-1:0] add_more;
    wire [63:0] sum = add_clearing ? 64'd0 : add_total + {{(64-PW){1'b0}}, add_more};
    always @(posedge clk) begin
        slot <= slot + 6'd1;
        add_slot <= slot;
        add_total <= total[slot];
        add_more <= read_out;
        add_copying <= copying || clearing;
        add_clearing <= clearing;
        if (snapshot)
            want <= 1'b1;
        if (slot == 6'd63) begin
            odd <= !odd;
            clearing <= 1'b0;
            copying <= want;
            want <= snapshot;
        end
        total[add_slot] <= sum;
        if (add_copying)
            shown[add_slot] <= sum;
        if (rst) begin
            slot <= 6'd0;
            odd <= 1'b0;
            clearing <= 1'b1;
            copying <= 1'b0;
            want <= 1'b0;
        end
    end

    assign hold = snapshot || want || copying || add_copying;
    assign value = shown[index];
endmodule

`default_nettype wire
