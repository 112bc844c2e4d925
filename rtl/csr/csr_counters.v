// SPDX-License-Identifier: Apache-2.0
// The 64-bit counters: enum counter, then the number of packets by status. They count through CTRL.RESET; a write to
// SNAPSHOT copies all of them at once, and only the copy is read.
//
// `value` follows `index` in the same cycle. Contract: at most one completion (`done`) a cycle.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module csr_counters (
    input  wire        clk,
    input  wire        rst,
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

    reg [63:0] count [0:USED-1];
    reg [63:0] shown [0:USED-1];
    wire       ok = done_status == `ESPC_STATUS_OK;
    wire       enc = done && done_src == 2'd0;
    wire       dec = done && done_src == 2'd1;
    wire       sa = done && done_src == 2'd2;
    wire       by_status = done && !sa && done_status < STATUSES;
    wire [5:0] status_index = {1'b1, done_status[4:0]};
    wire       any = pipe_busy || enc_beat || dec_beat || doorbell || fetched || read_beat || write_beat || done;

    assign value = (index < USED) ? shown[index] : 64'd0;

    integer i;
    /* verilator lint_off WIDTH */ // the header's counter numbers are 8 bits wide, the index needs 6
    always @(posedge clk) begin
        if (any) begin
            if (pipe_busy)  count[`ESPC_COUNTER_CYCLES_BUSY] <= count[`ESPC_COUNTER_CYCLES_BUSY] + 64'd1;
            if (enc_beat)   count[`ESPC_COUNTER_ENC_BEATS] <= count[`ESPC_COUNTER_ENC_BEATS] + 64'd1;
            if (dec_beat)   count[`ESPC_COUNTER_DEC_BEATS] <= count[`ESPC_COUNTER_DEC_BEATS] + 64'd1;
            if (doorbell)   count[`ESPC_COUNTER_DOORBELLS] <= count[`ESPC_COUNTER_DOORBELLS] + 64'd1;
            if (fetched)    count[`ESPC_COUNTER_DESC_FETCHED] <= count[`ESPC_COUNTER_DESC_FETCHED] + 64'd1;
            if (read_beat)  count[`ESPC_COUNTER_DMA_READ_BEATS] <= count[`ESPC_COUNTER_DMA_READ_BEATS] + 64'd1;
            if (write_beat) count[`ESPC_COUNTER_DMA_WRITE_BEATS] <= count[`ESPC_COUNTER_DMA_WRITE_BEATS] + 64'd1;
            if (done)       count[`ESPC_COUNTER_COMPLETIONS] <= count[`ESPC_COUNTER_COMPLETIONS] + 64'd1;
            if (sa)         count[`ESPC_COUNTER_SA_COMMANDS] <= count[`ESPC_COUNTER_SA_COMMANDS] + 64'd1;
            if (sa && !ok)  count[`ESPC_COUNTER_SA_REFUSED] <= count[`ESPC_COUNTER_SA_REFUSED] + 64'd1;
            if (enc && ok)  count[`ESPC_COUNTER_ENC_PACKETS] <= count[`ESPC_COUNTER_ENC_PACKETS] + 64'd1;
            if (enc && ok)  count[`ESPC_COUNTER_ENC_BYTES] <= count[`ESPC_COUNTER_ENC_BYTES] + {48'd0, done_len};
            if (enc && !ok) count[`ESPC_COUNTER_ENC_DROPS] <= count[`ESPC_COUNTER_ENC_DROPS] + 64'd1;
            if (dec && ok)  count[`ESPC_COUNTER_DEC_PACKETS] <= count[`ESPC_COUNTER_DEC_PACKETS] + 64'd1;
            if (dec && ok)  count[`ESPC_COUNTER_DEC_BYTES] <= count[`ESPC_COUNTER_DEC_BYTES] + {48'd0, done_len};
            if (dec && !ok) count[`ESPC_COUNTER_DEC_DROPS] <= count[`ESPC_COUNTER_DEC_DROPS] + 64'd1;
            if (by_status)  count[status_index] <= count[status_index] + 64'd1;
        end
        if (snapshot)
            for (i = 0; i < USED; i = i + 1)
                shown[i] <= count[i];
        if (rst)
            for (i = 0; i < USED; i = i + 1) begin
                count[i] <= 64'd0;
                shown[i] <= 64'd0;
            end
    end
    /* verilator lint_on WIDTH */
endmodule

`default_nettype wire
