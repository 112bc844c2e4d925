// SPDX-License-Identifier: Apache-2.0
// RAM slice for key material: one write port, one registered read port, one clock, and an output that
// forgets.
//
// Read latency 1 cycle.
// Contract: `rdata` changes only when `ren` is set, or, with `ren` clear, when `scrub` is set (to zero: keys
// must not linger in the output register). A read of the word being written in the same cycle returns the old
// word; nothing here relies on it.
`default_nettype none

module key_ram #(
    // width of a word in bits
    parameter W = 128,
    // log2 of the number of words
    parameter LOG2_D = 10
) (
    input  wire              clk,
    input  wire              wen,
    input  wire [LOG2_D-1:0] waddr,
    input  wire [W-1:0]      wdata,
    input  wire              ren,
    input  wire              scrub,
    input  wire [LOG2_D-1:0] raddr,
    output reg  [W-1:0]      rdata
);
    reg [W-1:0] mem [0:(1<<LOG2_D)-1];

    always @(posedge clk) begin
        if (wen)
            mem[waddr] <= wdata;
        // written in this order it is a block RAM with a reset of its output register; the other way round it is not
        if (scrub && !ren)
            rdata <= {W{1'b0}};
        else if (ren)
            rdata <= mem[raddr];
    end
endmodule

`default_nettype wire
