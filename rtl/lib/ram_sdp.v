// SPDX-License-Identifier: Apache-2.0
// Simple dual-port RAM: one write port, one registered read port, one clock.
//
// Read latency 1 cycle. Contract: `rdata` changes only when `ren` is set; a read of the word being written in the same
// cycle returns the old word, so whoever may meet that case brings a bypass.
`default_nettype none

module ram_sdp #(
    // width of a word in bits
    parameter W = 32,
    // log2 of the number of words
    parameter LOG2_D = 10
) (
    input  wire              clk,
    input  wire              wen,
    input  wire [LOG2_D-1:0] waddr,
    input  wire [W-1:0]      wdata,
    input  wire              ren,
    input  wire [LOG2_D-1:0] raddr,
    output reg  [W-1:0]      rdata
);
    reg [W-1:0] mem [0:(1<<LOG2_D)-1];

    always @(posedge clk) begin
        if (wen)
            mem[waddr] <= wdata;
        if (ren)
            rdata <= mem[raddr];
    end
endmodule

`default_nettype wire
