// SPDX-License-Identifier: Apache-2.0
// The AXI read channels, shared: SA commands and blobs (ID 2), descriptors (ID 0), payload (ID 1), in this priority for
// addresses. Data of different IDs may come in any order; each ID keeps its own.
//
// One address a cycle; latency 1 cycle. Contract: every requester can take its data at any time (R is always ready).
// While `quench` is set nothing new is issued; `outstanding` then falls when the bus has answered everything.
`default_nettype none

module ring_read (
    input  wire         clk,
    input  wire         rst,
    input  wire         quench,
    // requesters: 0 descriptors, 1 payload, 2 SA commands
    input  wire [2:0]   s_valid,
    output wire [2:0]   s_ready,
    input  wire [3*64-1:0] s_addr,
    input  wire [3*4-1:0] s_beats_m1,
    output wire [2:0]   r_for,
    // AXI
    output reg          ar_valid,
    input  wire         ar_ready,
    output reg  [1:0]   ar_id,
    output reg  [63:0]  ar_addr,
    output reg  [3:0]   ar_beats_m1,
    input  wire         r_valid,
    input  wire [1:0]   r_id,
    input  wire         r_last,
    output wire         outstanding
);
    wire slot = (!ar_valid || ar_ready) && !quench;
    wire take = slot && |s_valid;
    assign s_ready = !slot ? 3'b000 : s_valid[2] ? 3'b100 : s_valid[0] ? 3'b001 : 3'b010;
    assign r_for = !r_valid ? 3'b000 : (r_id == 2'd0) ? 3'b001 : (r_id == 2'd1) ? 3'b010 : 3'b100;

    reg [11:0] flying;
    wire       landed = r_valid && r_last;
    assign outstanding = flying != 12'd0;

    always @(posedge clk) begin
        if (ar_ready)
            ar_valid <= 1'b0;
        if (take) begin
            ar_valid <= 1'b1;
            ar_id <= s_valid[2] ? 2'd2 : s_valid[0] ? 2'd0 : 2'd1;
            ar_addr <= s_valid[2] ? s_addr[191:128] : s_valid[0] ? s_addr[63:0] : s_addr[127:64];
            ar_beats_m1 <= s_valid[2] ? s_beats_m1[11:8] : s_valid[0] ? s_beats_m1[3:0] : s_beats_m1[7:4];
        end
        if (take != landed)
            flying <= take ? flying + 12'd1 : flying - 12'd1;
        if (rst) begin
            ar_valid <= 1'b0;
            flying <= 12'd0;
        end
    end
endmodule

`default_nettype wire
