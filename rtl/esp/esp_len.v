// SPDX-License-Identifier: Apache-2.0
// Compares each packet's bytes with the length beside it. The pipelines look at the length before the packet's end has
// come, and whoever drives their ports may be wrong: a packet for which `bad` comes up is dropped as TRUNCATED.
//
// Combinational from a packet's last beat to `bad`, which means nothing in other cycles. Contract: `len` is valid on the
// first beat; tkeep is contiguous from bit 0, and full but on the last beat.
`default_nettype none

module esp_len #(
    parameter LANES = 1
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                take,
    input  wire                last,
    input  wire [16*LANES-1:0] keep,
    input  wire [15:0]         len,
    output wire                bad
);
    localparam KB = 16 * LANES;
    localparam LK = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    localparam [15:0] KB16 = KB[15:0];

    reg         mid, over;
    reg  [15:0] left_r;
    wire [15:0] left = mid ? left_r : len;
    // the packet should end in this beat: 1 ... KB bytes are left
    wire        here = left[15:LK] == 0 ? left[LK-1:0] != 0 : (left[15:LK] == 1 && left[LK-1:0] == 0);
    // bit n - 1: n bytes are under tkeep
    wire [KB-1:0] ends = keep & ~{1'b0, keep[KB-1:1]};
    wire [LK-1:0] at = left[LK-1:0] - 1'b1;
    assign bad = !(here && ends[at]) || (mid && over);

    always @(posedge clk) begin
        if (take) begin
            mid <= !last;
            left_r <= left - KB16;
            over <= (mid && over) || left <= KB16;
        end
        if (rst)
            mid <= 1'b0;
    end
endmodule

`default_nettype wire
