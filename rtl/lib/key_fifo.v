// SPDX-License-Identifier: Apache-2.0
// A queue for key material: as fifo.v, and it forgets. While `wipe` is held its words, also those inside, become zero.
//
// Latency 1 cycle from write to head, one write and one read each cycle, 2^LOG2_D words. Contract: the user knows that
// there is room and that no word is written while `wipe` is held, and holds it for 2^LOG2_D cycles or more; the number of
// words inside is not changed by it.
`default_nettype none

module key_fifo #(
    // width of a word in bits
    parameter W = 32,
    // log2 of the depth
    parameter LOG2_D = 6
) (
    input  wire         clk,
    input  wire         rst,
    input  wire         wipe,
    input  wire         wr,
    input  wire [W-1:0] wdata,
    output reg          rd_valid,
    input  wire         rd_ready,
    output reg  [W-1:0] rdata
);
    reg [W-1:0]      mem [0:(1<<LOG2_D)-1];
    reg [LOG2_D:0]   wptr, rptr;
    reg [LOG2_D-1:0] roll;

    wire load = !rd_valid || rd_ready;
    wire empty = wptr == rptr;
    wire through = load && empty;

    always @(posedge clk) begin
        if (wipe || (wr && !through))
            mem[wipe ? roll : wptr[LOG2_D-1:0]] <= wipe ? {W{1'b0}} : wdata;
        if (wr && !through)
            wptr <= wptr + 1'b1;
        if (wipe)
            roll <= roll + 1'b1;
        if (load) begin
            rd_valid <= !empty || wr;
            if (!empty)
                rptr <= rptr + 1'b1;
        end
        if (wipe)
            rdata <= {W{1'b0}};
        else if (load && !empty)
            rdata <= mem[rptr[LOG2_D-1:0]];
        else if (load && wr)
            rdata <= wdata;
        if (rst) begin
            wptr <= {LOG2_D+1{1'b0}};
            rptr <= {LOG2_D+1{1'b0}};
            roll <= {LOG2_D{1'b0}};
            rd_valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
