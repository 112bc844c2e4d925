// SPDX-License-Identifier: Apache-2.0
// Encapsulation, stage 1: the parser. Beats go into a queue; what the SA stage needs of a packet is read from its first
// beat and offered beside it: the side band, the inner IPv4 header's fields (RFC 791) and a first verdict.
//
// Latency 2 cycles to `meta`, 1 cycle to the data queue, one beat a cycle. Byte n of a packet is in tdata[8n+7:8n].
// Contract: exactly one meta word for each packet, in order.
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
    output wire            meta_valid,
    input  wire            meta_ready,
    output wire [TAGW-1:0] meta_tag,
    output wire [31:0]     meta_sa,
    output wire [15:0]     meta_gen,
    // inner total length, the verdict on the header, TOS byte and DF
    output wire [15:0]     meta_len,
    output wire [15:0]     meta_verdict,
    output wire [7:0]      meta_tos,
    output wire            meta_df,

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
    reg  new_valid;
    wire new_ready;
    wire meta_free = !new_valid || new_ready;
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

    // the meta word of the packet that came in last; the skid keeps the SA stage's ready from the stream's
    reg [TAGW-1:0] new_tag;
    reg [31:0]     new_sa;
    reg [15:0]     new_gen, new_len, new_verdict;
    reg [7:0]      new_tos;
    reg            new_df;
    skid #(.W(TAGW + 32 + 16 + 16 + 16 + 8 + 1)) meta (
        .clk(clk), .rst(rst), .s_valid(new_valid), .s_ready(new_ready),
        .s_data({new_tag, new_sa, new_gen, new_len, new_verdict, new_tos, new_df}), .m_valid(meta_valid),
        .m_ready(meta_ready),
        .m_data({meta_tag, meta_sa, meta_gen, meta_len, meta_verdict, meta_tos, meta_df}));

    always @(posedge clk) begin
        if (take)
            mid <= !s_tlast;
        if (first) begin
            new_tag <= s_tag;
            new_sa <= s_sa;
            new_gen <= s_gen;
            new_len <= total;
            new_tos <= s_tdata[15:8];
            new_df <= s_tdata[54];
            if (s_len < 16'd20)
                new_verdict <= `ESPC_STATUS_TRUNCATED;
            else if (version != 4'd4 || ihl < 4'd5 || total < ihl_bytes)
                new_verdict <= `ESPC_STATUS_BAD_IP;
            else
                new_verdict <= total > s_len ? `ESPC_STATUS_TRUNCATED : `ESPC_STATUS_OK;
        end
        new_valid <= first || (new_valid && !new_ready);
        if (rst) begin
            mid <= 1'b0;
            new_valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
