// SPDX-License-Identifier: Apache-2.0
// What a proof takes rtl/lib/ram_sdp.v for: one word, at an address that never changes but may be any, behaves as memory; reads of
// all others give anything. A read of the word that is written in the same cycle returns the old one.
module ram_sdp #(
    parameter W = 32,
    parameter LOG2_D = 10
) (
    input wire              clk,
    input wire              wen,
    input wire [LOG2_D-1:0] waddr,
    input wire [W-1:0]      wdata,
    input wire              ren,
    input wire [LOG2_D-1:0] raddr,
    output reg [W-1:0]      rdata
);
    (* anyconst *) wire [LOG2_D-1:0] at;
    (* anyseq *) wire [W-1:0] any;
    reg [W-1:0] word;
    always @(posedge clk) begin
        if (wen && waddr == at)
            word <= wdata;
        if (ren)
            rdata <= (raddr == at) ? word : any;
    end
endmodule
