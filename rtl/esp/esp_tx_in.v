// SPDX-License-Identifier: Apache-2.0
// Encapsulation, stage 1: the parser. Beats go into a queue; what the SA stage needs of a packet is read from its first
// 20 bytes and offered beside it: the side band, the inner IPv4 header's fields (RFC 791), a first verdict, and what keeps the
// packet from transport mode, which writes its header anew: options, a wrong checksum, a fragment (RFC 4303 section 3.3.4).
// The SA is looked up while the header is still judged: what it is judged as comes 2 cycles behind its meta word.
//
// Latency 2 cycles from the beat with the 20th byte to `meta`, 4 to `check`, 1 cycle to the data queue, one beat a cycle. Byte n of a
// packet is in tdata[8n+7:8n]. Contract: exactly one meta word for each packet, in order, and one check word; `check_take` is a pulse
// for each, 2 cycles after its meta word has shown or later; addresses are in wire order.
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
    // inner total length, TOS byte and DF
    output wire [15:0]     meta_len,
    output wire [7:0]      meta_tos,
    output wire            meta_df,
    // what transport mode keeps of the header: identification, the flag that is reserved, TTL, protocol, addresses ...
    output wire [15:0]     meta_id,
    output wire            meta_rsv,
    output wire [7:0]      meta_ttl,
    output wire [7:0]      meta_proto,
    output wire [31:0]     meta_src,
    output wire [31:0]     meta_dst,
    // ... and whether it cannot: it is a fragment ...
    output wire            meta_frag,
    // ... or the header has options or a wrong sum; before that, the verdict on the header in either mode
    input  wire            check_take,
    output wire [15:0]     check_verdict,
    output wire            check_odd,

    // the packet's beats
    output wire            data_valid,
    input  wire            data_ready,
    output wire [W-1:0]    data,
    output wire            data_last,
    // on the last one: the packet has another length than it should
    output wire            data_bad,
    // on the last one: it holds no more than 20 bytes, of 16-byte beats four
    output wire            data_short
);
    localparam LOG2_D = 5;
    localparam LOG2_META = 3;
    localparam PART = (LANES == 1) ? 4 : 20;

    reg mid;
    wire fifo_ready;
    // a first beat also needs room for its meta word: three may be on their way when the queue is seen to fill, and a check
    // word leaves its queue a cycle after its meta word has
    wire [LOG2_META:0] meta_level;
    reg  meta_room;
    always @(posedge clk)
        meta_room <= meta_level < (1 << LOG2_META) - 5;
    assign s_tready = fifo_ready && (mid || meta_room);
    wire take = s_tvalid && s_tready;
    wire first = take && !mid;

    wire bad;
    esp_len #(.LANES(LANES)) length (
        .clk(clk), .rst(rst), .take(take), .last(s_tlast), .keep(s_tkeep), .len(s_len), .bad(bad));

    /* verilator lint_off PINCONNECTEMPTY */ // the queue's level is of no use here
    fifo #(.W(W + 3), .LOG2_D(LOG2_D)) q (
        .clk(clk), .rst(rst), .wr_valid(take), .wr_ready(fifo_ready), .wdata({!s_tkeep[PART], bad, s_tlast, s_tdata}),
        .rd_valid(data_valid), .rd_ready(data_ready), .rdata({data_short, data_bad, data_last, data}), .level());
    /* verilator lint_on PINCONNECTEMPTY */

    // ---- the header: its last word is in the second beat where beats are of 16 bytes ------------------------------------
    reg [TAGW-1:0] tag1;
    reg [31:0]     sa1;
    reg [15:0]     gen1, len1;
    reg [127:0]    head1;
    reg [31:0]     dst1;
    reg            v1;
    generate
        if (LANES == 1) begin : two_beats
            // the packet's second beat is the next one; a packet that ends before it has no such word, and will be cut
            reg second;
            wire no_more = first && s_tlast;
            always @(posedge clk) begin
                v1 <= (no_more || (take && second)) && !rst;
                if (take) begin
                    second <= !mid && !s_tlast;
                    dst1 <= s_tdata[31:0];
                end
                if (rst)
                    second <= 1'b0;
            end
        end else begin : one_beat
            always @(posedge clk) begin
                v1 <= first && !rst;
                if (first)
                    dst1 <= s_tdata[159:128];
            end
        end
    endgenerate
    always @(posedge clk) begin
        if (take)
            mid <= !s_tlast;
        if (first) begin
            tag1 <= s_tag;
            sa1 <= s_sa;
            gen1 <= s_gen;
            len1 <= s_len;
            head1 <= s_tdata[127:0];
        end
        if (rst)
            mid <= 1'b0;
    end

    // ---- a first verdict, and the header's sum in two steps -------------------------------------------------------------
    localparam SIDE = TAGW + 32 + 16 + 16 + 8 + 1 + 16 + 1 + 8 + 8 + 64 + 1;
    wire [15:0] total = {head1[23:16], head1[31:24]};
    wire [3:0]  ihl = head1[3:0];
    wire [15:0] ihl_bytes = {10'd0, ihl, 2'b00};
    function [18:0] sum5(input [79:0] words);
        sum5 = (({3'd0, words[15:0]} + {3'd0, words[31:16]}) + ({3'd0, words[47:32]} + {3'd0, words[63:48]}))
               + {3'd0, words[79:64]};
    endfunction

    wire [SIDE-1:0] side = {tag1, sa1, gen1, total, head1[15:8], head1[54], head1[39:32], head1[47:40], head1[55], head1[71:64],
                            // more fragments, or an offset
                            head1[79:72], head1[127:96], dst1, head1[53] || head1[52:48] != 5'd0 || head1[63:56] != 8'd0};
    reg            v2, v3, odd2, odd3;
    reg [15:0]     verdict2, verdict3;
    reg [18:0]     sum2_a, sum2_b;
    reg [16:0]     fold3;
    wire [19:0]    sum2 = {1'b0, sum2_a} + {1'b0, sum2_b};
    always @(posedge clk) begin
        v2 <= v1 && !rst;
        if (v1) begin
            odd2 <= ihl != 4'd5;
            sum2_a <= sum5(head1[79:0]);
            sum2_b <= sum5({dst1, head1[127:80]});
            if (len1 < 16'd20)
                verdict2 <= `ESPC_STATUS_TRUNCATED;
            else if (head1[7:4] != 4'd4 || ihl < 4'd5 || total < ihl_bytes)
                verdict2 <= `ESPC_STATUS_BAD_IP;
            else
                verdict2 <= total > len1 ? `ESPC_STATUS_TRUNCATED : `ESPC_STATUS_OK;
        end
        v3 <= v2 && !rst;
        if (v2) begin
            odd3 <= odd2;
            verdict3 <= verdict2;
            fold3 <= {1'b0, sum2[15:0]} + {13'd0, sum2[19:16]};
        end
    end
    // the words of a header that is right make a multiple of 0xffff, which is not 0: folded once, of so few, it is 0xffff
    wire odd = odd3 || fold3 != 17'h0ffff;

    wire meta_taken, check_taken, check_valid;
    fifo #(.W(SIDE), .LOG2_D(LOG2_META)) meta (
        .clk(clk), .rst(rst), .wr_valid(v1), .wr_ready(meta_taken), .wdata(side), .rd_valid(meta_valid), .rd_ready(meta_ready),
        .rdata({meta_tag, meta_sa, meta_gen, meta_len, meta_tos, meta_df, meta_id, meta_rsv, meta_ttl, meta_proto, meta_src,
                meta_dst, meta_frag}), .level(meta_level));
    /* verilator lint_off PINCONNECTEMPTY */ // it is as full as the other one
    fifo #(.W(17), .LOG2_D(LOG2_META)) check (
        .clk(clk), .rst(rst), .wr_valid(v3), .wr_ready(check_taken), .wdata({odd, verdict3}), .rd_valid(check_valid),
        .rd_ready(check_take), .rdata({check_odd, check_verdict}), .level());
    /* verilator lint_on PINCONNECTEMPTY */

    /* verilator lint_off UNUSED */ // the queues have room, and a check word is there when it is taken
    wire unused = &{1'b0, meta_taken, check_taken, check_valid};
    /* verilator lint_on UNUSED */
endmodule

`default_nettype wire
