// SPDX-License-Identifier: Apache-2.0
// Encapsulation, stage 1: the parser. Beats go into a queue; what the SA stage needs of a packet is read from its first
// beat and offered beside it: the side band, the inner IPv4 header's fields (RFC 791) and a first verdict.
//
// Latency 1 cycle to `meta`, 1 cycle to the data queue, one beat a cycle. Byte n of a packet is in tdata[8n+7:8n].
// Contract: exactly one meta word for each packet, before or with its first data word.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_tx_in #(
    parameter LANES = 1,
    parameter TAGW = 16,
    parameter W = 128 * LANES,
    parameter KB = 16 * LANES
) (
    input  wire            clk,
    input  wire            rst,

    input  wire            s_tvalid,
    output wire            s_tready,
    input  wire [W-1:0]    s_tdata,
    input  wire [KB-1:0]   s_tkeep,
    input  wire            s_tlast,
    input  wire [TAGW-1:0] s_tag,
    input  wire [31:0]     s_sa,
    input  wire [15:0]     s_gen,
    input  wire [15:0]     s_len,

    // one word for each packet
    output reg             meta_valid,
    input  wire            meta_ready,
    output reg  [TAGW-1:0] meta_tag,
    output reg  [31:0]     meta_sa,
    output reg  [15:0]     meta_gen,
    // inner total length, the verdict on the header, TOS byte and DF
    output reg  [15:0]     meta_len,
    output reg  [15:0]     meta_verdict,
    output reg  [7:0]      meta_tos,
    output reg             meta_df,

    // the packet's beats
    output wire            data_valid,
    input  wire            data_ready,
    output wire [W-1:0]    data,
    output wire            data_last,
    // on the last one: the packet has another length than it should
    output wire            data_bad
);
    localparam LOG2_D = 5;

    reg mid;
    wire fifo_ready;
    // a first beat also needs room for its meta word
    wire meta_free = !meta_valid || meta_ready;
    assign s_tready = fifo_ready && (mid || meta_free);
    wire take = s_tvalid && s_tready;
    wire first = take && !mid;

    wire bad;
    esp_len #(.LANES(LANES)) length (
        .clk(clk), .rst(rst), .take(take), .last(s_tlast), .keep(s_tkeep), .len(s_len), .bad(bad));

    /* verilator lint_off PINCONNECTEMPTY */ // the queue's level is of no use here
    fifo #(.W(W + 2), .LOG2_D(LOG2_D)) q (
        .clk(clk), .rst(rst), .wr_valid(take), .wr_ready(fifo_ready), .wdata({bad, s_tlast, s_tdata}),
        .rd_valid(data_valid), .rd_ready(data_ready), .rdata({data_bad, data_last, data}), .level());
    /* verilator lint_on PINCONNECTEMPTY */

    wire [3:0]  version = s_tdata[7:4];
    wire [3:0]  ihl = s_tdata[3:0];
    wire [15:0] total = {s_tdata[23:16], s_tdata[31:24]};
    wire [15:0] ihl_bytes = {10'd0, ihl, 2'b00};

    always @(posedge clk) begin
        if (take)
            mid <= !s_tlast;
        if (first) begin
            meta_tag <= s_tag;
            meta_sa <= s_sa;
            meta_gen <= s_gen;
            meta_len <= total;
            meta_tos <= s_tdata[15:8];
            meta_df <= s_tdata[54];
            if (s_len < 16'd20)
                meta_verdict <= `ESPC_STATUS_TRUNCATED;
            else if (version != 4'd4 || ihl < 4'd5 || total < ihl_bytes)
                meta_verdict <= `ESPC_STATUS_BAD_IP;
            else
                meta_verdict <= total > s_len ? `ESPC_STATUS_TRUNCATED : `ESPC_STATUS_OK;
        end
        meta_valid <= first || (meta_valid && !meta_ready);
        if (rst) begin
            mid <= 1'b0;
            meta_valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
