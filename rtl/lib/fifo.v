// SPDX-License-Identifier: Apache-2.0
// A first-in first-out queue with its head in a register: `rdata` is the oldest word whenever `rd_valid` is set.
//
// Latency 1 cycle from write to head, one write and one read each cycle. Holds 2^LOG2_D words behind the head register.
// Contract: a word is taken when wr_valid && wr_ready, and leaves when rd_valid && rd_ready; order is kept, nothing is
// lost or repeated; `rdata` is stable while rd_valid && !rd_ready. `level` counts the words behind the head register.
`default_nettype none

module fifo #(
    // width of a word in bits
    parameter W = 8,
    // log2 of the depth
    parameter LOG2_D = 5
) (
    input  wire            clk,
    input  wire            rst,
    input  wire            wr_valid,
    output wire            wr_ready,
    input  wire [W-1:0]    wdata,
    output reg             rd_valid,
    input  wire            rd_ready,
    output reg  [W-1:0]    rdata,
    output wire [LOG2_D:0] level
);
    reg [W-1:0]    mem [0:(1<<LOG2_D)-1];
    reg [LOG2_D:0] wptr, rptr;

    assign level = wptr - rptr;
    assign wr_ready = !level[LOG2_D];
    wire wr = wr_valid && wr_ready;
    // the head register is free, or becomes so at this edge
    wire load = !rd_valid || rd_ready;
    wire empty = wptr == rptr;
    // an empty queue passes the word straight to the head
    wire through = load && empty;

    always @(posedge clk) begin
        if (wr && !through) begin
            mem[wptr[LOG2_D-1:0]] <= wdata;
            wptr <= wptr + 1'b1;
        end
        if (load) begin
            rd_valid <= !empty || wr;
            if (!empty) begin
                rdata <= mem[rptr[LOG2_D-1:0]];
                rptr <= rptr + 1'b1;
            end else if (wr)
                rdata <= wdata;
        end
        if (rst) begin
            wptr <= {LOG2_D+1{1'b0}};
            rptr <= {LOG2_D+1{1'b0}};
            rd_valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
