// SPDX-License-Identifier: Apache-2.0
// Checks packet descriptors and turns each into payload reads (bursts that stay within a 256-byte block), a packet
// record for the aligner and a context for the result, in the order of descriptors. A descriptor that is out of range
// goes straight to the completion writer with BAD_DESC.
//
// One descriptor every 1 + (bursts of its packet) cycles. A burst is issued when the payload FIFO has room for all of
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

    wire enc = op == `ESPC_PKT_OP_ENCAP;
    wire dec = op == `ESPC_PKT_OP_DECAP;
    wire good = (enc || dec) && flags == 8'd0 && len != 32'd0 && len <= LEN_MAX && dst != 64'd0 && dst[5:0] == 6'd0;

    // ---- the packet whose reads are being issued
    reg         cur;
    reg  [63:0] addr;
    reg  [15:0] left;
    reg  [14:0] enc_tag, dec_tag;
    wire [15:0] tag = dec ? {1'b1, dec_tag} : {1'b0, enc_tag};

    wire [8:0]  to_block = 9'd256 - {1'b0, addr[7:0]};
    wire        last = left <= {7'd0, to_block};
    wire [8:0]  bytes = last ? left[8:0] : to_block;
    wire [8:0]  span = bytes + {{(9-LK){1'b0}}, addr[LK-1:0]} - 9'd1;
    wire [8:0]  span_beats = span >> LK;
    wire [3:0]  beats_m1 = span_beats[3:0];

    reg  [LOG2_PAY:0] free;
    wire [LOG2_PAY:0] need = {{(LOG2_PAY-3){1'b0}}, beats_m1} + 1'b1;
    wire issue = cur && free >= need && (!ar_valid || ar_ready);
    wire accept = desc_valid && !(cur && !(issue && last)) && pkt_room && enc_room && dec_room && bad_room;

    assign desc_ready = accept;
    assign pkt_valid = accept && good;
    assign pkt = {dec, src[5:0], len[15:0], sa, gen, tag};
    assign enc_valid = accept && good && enc;
    assign dec_valid = accept && good && dec;
    assign ctx = {tag, desc_q, (cap > 32'hffff) ? 16'hffff : cap[15:0], dst, cookie};
    assign bad_valid = accept && !good;
    assign bad = {desc_q, cookie};
    assign busy = cur || ar_valid;

    always @(posedge clk) begin
        if (ar_ready)
            ar_valid <= 1'b0;
        if (issue) begin
            ar_valid <= 1'b1;
            ar_addr <= addr;
            ar_beats_m1 <= beats_m1;
            addr <= {addr[63:8] + 56'd1, 8'd0};
            left <= left - {7'd0, bytes};
            if (last)
                cur <= 1'b0;
        end
        if (accept && good) begin
            cur <= 1'b1;
            addr <= src;
            left <= len[15:0];
            if (dec)
                dec_tag <= dec_tag + 15'd1;
            else
                enc_tag <= enc_tag + 15'd1;
        end
        if (issue || pay_pop)
            free <= free - (issue ? need : {(LOG2_PAY+1){1'b0}}) + {{LOG2_PAY{1'b0}}, pay_pop};
        if (rst) begin
            cur <= 1'b0;
            ar_valid <= 1'b0;
            enc_tag <= 15'd0;
            dec_tag <= 15'd0;
            free <= {1'b1, {LOG2_PAY{1'b0}}};
        end
    end

    wire unused = &{1'b0, span_beats[8:4], 1'b0};
endmodule

`default_nettype wire
