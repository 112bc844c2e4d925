// SPDX-License-Identifier: Apache-2.0
// Dual-port RAM for state that is looked at in one place and changed in another: port A reads, port B reads
// or writes.
//
// Read latency 1 cycle on both ports.
// COLUMN cuts the words into pieces with a RAM each, for words and depths of which Yosys would make banks, with a choice behind
// their outputs: those are late as it is.
// Contract: `a_rdata` and `b_rdata` change only after `a_en`, and `b_en` without `b_we`. A read by A of the
// word that B writes in the same cycle returns the old word or the new one, as the memory likes.
`default_nettype none

module ram_ab #(
    // width of a word in bits
    parameter W = 64,
    // log2 of the number of words
    parameter LOG2_D = 10,
    // width of a piece in bits
    parameter COLUMN = W
) (
    input  wire              clk,
    input  wire              a_en,
    input  wire [LOG2_D-1:0] a_addr,
    output wire [W-1:0]      a_rdata,
    input  wire              b_en,
    input  wire              b_we,
    input  wire [LOG2_D-1:0] b_addr,
    input  wire [W-1:0]      b_wdata,
    output wire [W-1:0]      b_rdata
);
    genvar g;
    generate
        for (g = 0; g < W; g = g + COLUMN) begin : column
            localparam N = (W - g < COLUMN) ? W - g : COLUMN;
            reg [N-1:0] mem [0:(1<<LOG2_D)-1];
            reg [N-1:0] a_word, b_word;
            assign a_rdata[g +: N] = a_word;
            assign b_rdata[g +: N] = b_word;

            always @(posedge clk) begin
                if (a_en)
                    a_word <= mem[a_addr];
                if (b_en) begin
                    if (b_we)
                        mem[b_addr] <= b_wdata[g +: N];
                    else
                        b_word <= mem[b_addr];
                end
            end
        end
    endgenerate
endmodule

`default_nettype wire
