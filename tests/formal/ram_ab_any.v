// SPDX-License-Identifier: Apache-2.0
// What a proof takes rtl/lib/ram_ab.v for: one word, at an address that never changes but may be any, behaves as memory;
// reads of all others, and all reads by port A, give anything. The real one does no more than this allows: ram_f.v.
module ram_ab #(
    parameter W = 64,
    parameter LOG2_D = 10,
    parameter COLUMN = W
) (
    input  wire              clk,
    input  wire              a_en,
    input  wire [LOG2_D-1:0] a_addr,
    output reg  [W-1:0]      a_rdata,
    input  wire              b_en,
    input  wire              b_we,
    input  wire [LOG2_D-1:0] b_addr,
    input  wire [W-1:0]      b_wdata,
    output reg  [W-1:0]      b_rdata
);
    (* anyconst *) wire [LOG2_D-1:0] at;
    (* anyseq *) wire [W-1:0] any_a;
    (* anyseq *) wire [W-1:0] any_b;
    reg [W-1:0] word;

    always @(posedge clk) begin
        if (a_en)
            a_rdata <= any_a;
        if (b_en && b_we && b_addr == at)
            word <= b_wdata;
        if (b_en && !b_we)
            b_rdata <= b_addr == at ? word : any_b;
    end
endmodule
