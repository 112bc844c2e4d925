// SPDX-License-Identifier: Apache-2.0
// Checks packet descriptors and turns each into payload reads (bursts that stay within a 256-byte block), a packet
// record for the aligner and a context for the result, in the order of descriptors. A descriptor that is out of range
// goes straight to the completion writer with BAD_DESC.
//
// One descriptor every cycle or, where that is more, one burst a cycle; latency 2 cycles. A burst is issued when the payload FIFO has room for all of
// it. A tag is the direction and the packet's number in that direction. Contract: dst_cap above 65535 counts as 65535, no result is longer.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module ring_dispatch #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // longest packet in bytes
    parameter MAX_LEN = 9216,
    // log2 of the beats of the payload FIFO
    parameter LOG2_PAY = 9
) (
    input  wire         clk,
    input  wire         rst,
    // descriptors
    input  wire         desc_valid,
    output wire         desc_ready,
    input  wire [2:0]   desc_q,
    input  wire [319:0] desc,
    input  wire         desc_rest,
    // payload reads
    output reg          ar_valid,
    input  wire         ar_ready,
    output reg  [63:0]  ar_addr,
    output reg  [3:0]   ar_beats_m1,
    input  wire         pay_pop,
    // packet records, in the order of reads: decapsulation, first byte's place in its beat, length, SA, tag
    output wire         pkt_valid,
    input  wire         pkt_room,
    output wire [86:0]  pkt,
    // contexts: tag, queue, dst_cap, dst_iova, cookie
    output wire         enc_valid,
    output wire         dec_valid,
    input  wire         enc_room,
    input  wire         dec_room,
    output wire [162:0] ctx,
    // refused ones: queue, cookie
    output wire         bad_valid,
    input  wire         bad_room,
    output wire [66:0]  bad,
    output wire         busy
);
    localparam LK = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    localparam [31:0] LEN_MAX = MAX_LEN;

    wire [63:0] src = desc[`ESPC_PACKET_DESC_SRC_IOVA_LSB +: 64];
    wire [63:0] dst = desc[`ESPC_PACKET_DESC_DST_IOVA_LSB +: 64];
    wire [31:0] len = desc[`ESPC_PACKET_DESC_SRC_LEN_LSB +: 32];
    wire [31:0] cap = desc[`ESPC_PACKET_DESC_DST_CAP_LSB +: 32];
    wire [31:0] sa = desc[`ESPC_PACKET_DESC_SA_INDEX_LSB +: 32];
    wire [15:0] gen = desc[`ESPC_PACKET_DESC_GENERATION_LSB +: 16];
    wire [7:0]  op = desc[`ESPC_PACKET_DESC_OP_LSB +: 8];
    wire [7:0]  flags = desc[`ESPC_PACKET_DESC_FLAGS_LSB +: 8];
    wire [63:0] cookie = desc[`ESPC_PACKET_DESC_COOKIE_LSB +: 64];

    // ---- the descriptor being looked at
    reg         d_valid, d_good, d_dec;
    reg  [2:0]  d_q;
    reg  [63:0] d_src, d_dst, d_cookie;
    reg  [15:0] d_len, d_len_m1, d_cap, d_gen;
    reg  [31:0] d_sa;
    wire        accept;
    assign desc_ready = !d_valid || accept;

    always @(posedge clk) begin
        if (desc_ready) begin
            d_valid <= desc_valid;
            d_good <= (op == `ESPC_PKT_OP_ENCAP || op == `ESPC_PKT_OP_DECAP) && flags == 8'd0 && !desc_rest && len != 32'd0
                      && len <= LEN_MAX && dst != 64'd0 && dst[5:0] == 6'd0;
            d_dec <= op == `ESPC_PKT_OP_DECAP;
            d_q <= desc_q;
            d_src <= src;
            d_dst <= dst;
            d_cookie <= cookie;
            d_len <= len[15:0];
            d_len_m1 <= len[15:0] - 16'd1;
            d_cap <= (cap > 32'hffff) ? 16'hffff : cap[15:0];
            d_gen <= gen;
            d_sa <= sa;
        end
        if (rst)
            d_valid <= 1'b0;
    end

    // ---- the packet whose reads are being issued, with its next burst worked out
    reg         cur;
    reg  [63:0] addr;
    reg  [16:0] to_go;      // from the block's start to the packet's last byte
    reg         last;       // ... which is in this block
    reg         popped;     // a beat has left the payload FIFO
    reg  [3:0]  beats_m1;
    reg  [14:0] enc_tag, dec_tag;
    wire [15:0] tag = d_dec ? {1'b1, dec_tag} : {1'b0, enc_tag};
    // beats of a block, less one
    localparam [3:0] BLOCK_M1 = (LANES == 1) ? 4'd15 : (LANES == 2) ? 4'd7 : 4'd3;

    wire [16:0] first_to_go = {9'd0, d_src[7:0]} + {1'b0, d_len_m1};
    wire        first_last = first_to_go[16:8] == 9'd0;
    wire [9:0]  end_10 = {2'd0, first_last ? first_to_go[7:0] : 8'hff};
    wire [9:0]  src_10 = {2'd0, d_src[7:0]};

    reg  [LOG2_PAY:0] free;
    wire [LOG2_PAY:0] need_m1 = {{(LOG2_PAY-3){1'b0}}, beats_m1};
    wire issue = cur && free > need_m1 && (!ar_valid || ar_ready);
    assign accept = d_valid && !(cur && !(issue && last)) && pkt_room && enc_room && dec_room && bad_room;

    assign pkt_valid = accept && d_good;
    assign pkt = {d_dec, d_src[5:0], d_len, d_sa, d_gen, tag};
    assign enc_valid = accept && d_good && !d_dec;
    assign dec_valid = accept && d_good && d_dec;
    assign ctx = {tag, d_q, d_cap, d_dst, d_cookie};
    assign bad_valid = accept && !d_good;
    assign bad = {d_q, d_cookie};
    assign busy = cur || ar_valid || d_valid;

    always @(posedge clk) begin
        if (ar_ready)
            ar_valid <= 1'b0;
        if (issue) begin
            ar_valid <= 1'b1;
            ar_addr <= addr;
            ar_beats_m1 <= beats_m1;
            addr <= {addr[63:8] + 56'd1, 8'd0};
            to_go[16:8] <= to_go[16:8] - 9'd1;
            last <= to_go[16:8] == 9'd1;
            beats_m1 <= (to_go[16:8] == 9'd1) ? BLOCK_M1 & to_go[LK+3:LK] : BLOCK_M1;
            if (last)
                cur <= 1'b0;
        end
        if (accept && d_good) begin
            cur <= 1'b1;
            addr <= d_src;
            to_go <= first_to_go;
            last <= first_last;
            beats_m1 <= BLOCK_M1 & (end_10[LK+3:LK] - src_10[LK+3:LK]);
            if (d_dec)
                dec_tag <= dec_tag + 15'd1;
            else
                enc_tag <= enc_tag + 15'd1;
        end
        // one more than need_m1 goes: its complement comes
        free <= free + (issue ? ~need_m1 : {(LOG2_PAY+1){1'b0}}) + {{LOG2_PAY{1'b0}}, popped};
        popped <= pay_pop && !rst;
        if (rst) begin
            cur <= 1'b0;
            ar_valid <= 1'b0;
            enc_tag <= 15'd0;
            dec_tag <= 15'd0;
            free <= {1'b1, {LOG2_PAY{1'b0}}};
        end
    end

    wire unused = &{1'b0, to_go, end_10, src_10, 1'b0};
endmodule

`default_nettype wire
