// SPDX-License-Identifier: Apache-2.0
// A first-in first-out queue in block RAM, for clocks at which a block RAM's output is late: nothing is chosen between that output
// and the register in which the head stands.
//
// Latency 3 cycles from write to head, one write and one read each cycle. Holds 2^LOG2_D words, one at the RAM's output and the head.
// Contract: a word is taken when wr_valid && wr_ready, and leaves when rd_valid && rd_ready; order is kept, nothing is
// lost or repeated; `rdata` is stable while rd_valid && !rd_ready. `level` counts the words that wait to be read from the RAM;
// `some` is set while a word is anywhere inside.
`default_nettype none

module fifo_ram #(
    // width of a word in bits
    parameter W = 128,
    // log2 of the depth
    parameter LOG2_D = 6
) (
    input  wire            clk,
    input  wire            rst,
    input  wire            wr_valid,
    output wire            wr_ready,
    input  wire [W-1:0]    wdata,
    output reg             rd_valid,
    input  wire            rd_ready,
    output reg  [W-1:0]    rdata,
    output wire [LOG2_D:0] level,
    output wire            some
);
    reg [LOG2_D:0] wptr, rptr;
    // a word stands at the RAM's output
    reg            read;
    wire [W-1:0]   word;

    assign level = wptr - rptr;
    assign wr_ready = !level[LOG2_D];
    wire wr = wr_valid && wr_ready;
    wire waiting = wptr != rptr;
    // the head register is free, or becomes so at this edge
    wire load = !rd_valid || rd_ready;
    wire fetch = waiting && (!read || load);
    assign some = waiting || read || rd_valid;

    ram_sdp #(.W(W), .LOG2_D(LOG2_D)) ram (
        .clk(clk), .wen(wr), .waddr(wptr[LOG2_D-1:0]), .wdata(wdata), .ren(fetch), .raddr(rptr[LOG2_D-1:0]), .rdata(word));

    always @(posedge clk) begin
        if (wr)
            wptr <= wptr + 1'b1;
        if (fetch)
            rptr <= rptr + 1'b1;
        if (fetch || load)
            read <= fetch;
        if (load) begin
            rd_valid <= read;
            rdata <= word;
        end
        if (rst) begin
            wptr <= {LOG2_D+1{1'b0}};
            rptr <= {LOG2_D+1{1'b0}};
            read <= 1'b0;
            rd_valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
