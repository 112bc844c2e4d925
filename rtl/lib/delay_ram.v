// SPDX-License-Identifier: Apache-2.0
// A delay line as a circular RAM: side-band data waits beside a fixed-latency pipe without moving. The
// pointer runs freely; only valid words are written and read.
//
// A word presented with `wen` at clock edge t is in `q` after edge t + DELAY if `ren` is set in the cycle
// before that edge. With `late` it takes the place of the cycle before and is there a cycle earlier.
// Contract: 1 <= DELAY < 2^LOG2_D. While `wipe` is held the whole line is overwritten with zeros in 2^LOG2_D
// cycles.
`default_nettype none

module delay_ram #(
    // width of a word in bits
    parameter W = 128,
    // log2 of the words in the ring
    parameter LOG2_D = 4,
    // cycles from input to output
    parameter DELAY = 15
) (
    input  wire         clk,
    input  wire         rst,
    input  wire         wipe,
    input  wire         wen,
    input  wire         late,
    input  wire [W-1:0] d,
    input  wire         ren,
    output reg  [W-1:0] q
);
    localparam [LOG2_D-1:0] BACK = DELAY[LOG2_D-1:0];

    reg [W-1:0] mem [0:(1<<LOG2_D)-1];
    reg [LOG2_D-1:0] ptr;
    wire [LOG2_D-1:0] rptr = ptr - BACK;
    wire [LOG2_D-1:0] wptr = ptr - {{LOG2_D-1{1'b0}}, late};

    always @(posedge clk) begin
        ptr <= rst ? {LOG2_D{1'b0}} : ptr + 1'b1;
        if (wen || wipe)
            mem[wptr] <= wipe ? {W{1'b0}} : d;
        if (wipe)
            q <= {W{1'b0}};
        else if (ren)
            q <= mem[rptr];
    end
endmodule

`default_nettype wire
