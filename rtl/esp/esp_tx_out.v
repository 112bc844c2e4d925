// SPDX-License-Identifier: Apache-2.0
// Encapsulation, stage 5: the rotator and egress. Each output beat is put together in one cycle from up to three pieces:
// the outer header, the ciphertext turned by the header's length, and the ICV turned by the ICV's place (RFC 4303
// section 2), so a packet takes exactly as many beats as its bytes fill.
//
// Latency 3 cycles from `info`, 2 from the pieces to the stream, no cycle lost between packets. Pieces start at multiples of 4 bytes.
// Contract: one packet for each `info` word, in order, its last beat not before its `end` word; a refused packet is one
// beat with tkeep = 0; a packet whose length was wrong (`end_bad`) ends as TRUNCATED with an empty beat; while `poison` is set
// packets leave as status ABORTED with no byte of theirs, after their pieces have been taken from the queues.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_tx_out #(
    parameter LANES = 1,
    parameter TAGW = 16,
    parameter W = 128 * LANES,
    parameter KB = 16 * LANES
) (
    input  wire            clk,
    input  wire            rst,
    input  wire            poison,

    input  wire            info_valid,
    output wire            info_ready,
    input  wire [TAGW-1:0] info_tag,
    input  wire [15:0]     info_status,
    input  wire [63:0]     info_seq,
    input  wire [31:0]     info_sa,
    input  wire [15:0]     info_gen,
    input  wire [15:0]     info_outlen,
    input  wire            info_soft,
    input  wire            info_lease_low,
    input  wire            info_udp,
    // all of the packet has come in
    input  wire            end_valid,
    output wire            end_ready,
    input  wire            end_bad,
    // header, ciphertext and ICV of the packets with status OK
    input  wire            hdr_valid,
    output wire            hdr_ready,
    input  wire [511:0]    hdr,
    input  wire            ct_valid,
    output wire            ct_ready,
    input  wire [W-1:0]    ct,
    input  wire            icv_valid,
    output wire            icv_ready,
    input  wire [127:0]    icv,

    output wire            m_tvalid,
    input  wire            m_tready,
    output wire [W-1:0]    m_tdata,
    output wire [KB-1:0]   m_tkeep,
    output wire            m_tlast,
    output wire [TAGW-1:0] m_tag,
    output wire [15:0]     m_status,
    output wire [63:0]     m_seq,
    output wire [31:0]     m_sa,
    output wire [15:0]     m_gen,
    output wire [15:0]     m_len,
    output wire            m_soft,
    output wire            m_lease_low
);
    localparam [31:0] BEAT_BYTES = KB;
    localparam [16:0] KBN = BEAT_BYTES[16:0];
    localparam SIDE = TAGW + 16 + 64 + 32 + 16 + 16 + 2;

    localparam LK = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    localparam LW = LK + 3;
    localparam [16:0] TWO_KBN = KBN << 1;
    // the ciphertext begins in the third, second or first beat, whether the header is of 36 or of 44 bytes
    localparam FIRST_CT = (LANES == 4) ? 1'b1 : 1'b0;
    localparam [1:0] BEFORE_CT = (LANES == 1) ? 2'd1 : 2'd0;
    // no header from this beat on
    localparam [1:0] PAST_HDR = (LANES == 1) ? 2'd3 : (LANES == 2) ? 2'd2 : 2'd1;

    // ---- the packet whose turn it is: what a beat holds is known before the beat's turn ------------------------------------
    reg            cur, drop, udp, soft_now, low;
    reg [TAGW-1:0] tag;
    reg [15:0]     verdict, gen, outlen;
    reg [63:0]     seq;
    reg [31:0]     sa;
    // of the beat that comes: its place up to PAST_HDR; it is not the first, it is the last; ciphertext, bytes of the ICV in it
    reg [1:0]      place;
    reg            mid, last, want_ct, want_icv;
    // from it on: bytes of the packet, of ciphertext
    reg [16:0]     left, ct_left;
    reg [W-1:0]    residue;

    wire ready, s_valid;
    wire go = cur && ready
              && (!last || end_valid) && (drop || (hdr_valid && (!want_ct || ct_valid) && (!want_icv || icv_valid)));
    wire done = go && last;
    assign info_ready = !cur || done;
    assign end_ready = done;
    assign hdr_ready = done && !drop;
    assign icv_ready = done && !drop;
    assign ct_ready = go && want_ct && !drop;
    // an aborted packet's beats are swallowed but for its last
    assign s_valid = go && (last || !poison);

    // ---- the three pieces ------------------------------------------------------------------------------------------
    wire [511:0]  hdr_turned = hdr >> {place, {LW{1'b0}}};
    wire [16:0]   hlen = udp ? 17'd44 : 17'd36;
    wire [16:0]   turn_wide = hlen & (KBN - 17'd1);
    wire [5:0]    turn = turn_wide[5:0];
    wire [2*W-1:0] ct_turned = {{W{1'b0}}, ct} << {turn[5:2], 5'd0};
    wire [W-1:0]  ct_part = (mid ? residue : {W{1'b0}}) | (want_ct ? ct_turned[W-1:0] : {W{1'b0}});
    // the ICV ends where the packet does: it begins at `left`, counted from 16 bytes before this beat
    wire [W+127:0] icv_turned = {{W{1'b0}}, icv} << {left[6:2], 5'd0};
    wire [W-1:0]  icv_part = want_icv ? icv_turned[W+127:128] : {W{1'b0}};
    wire [W-1:0]  beat = hdr_turned[W-1:0] | ct_part | icv_part;
    // a last beat has at most KB bytes
    wire [KB-1:0] keep = (!last || left[LK]) ? {KB{1'b1}} : ~({KB{1'b1}} << left[LK-1:0]);

    wire          info_drop = info_status != `ESPC_STATUS_OK;
    wire [16:0]   info_total = {1'b0, info_outlen};

    always @(posedge clk) begin
        if (go) begin
            mid <= 1'b1;
            if (place != PAST_HDR)
                place <= place + 2'd1;
            left <= left - KBN;
            last <= left <= TWO_KBN;
            want_icv <= left < TWO_KBN + 17'd16;
            want_ct <= want_ct ? ct_left > KBN : (!FIRST_CT && place == BEFORE_CT);
            if (want_ct)
                ct_left <= ct_left - KBN;
            residue <= want_ct ? ct_turned[2*W-1:W] : {W{1'b0}};
        end
        if (info_ready) begin
            cur <= info_valid;
            mid <= 1'b0;
            place <= 2'd0;
            left <= info_total;
            // less header and ICV; every packet has ciphertext
            ct_left <= info_total - (info_udp ? 17'd60 : 17'd52);
            last <= info_drop || info_total <= KBN;
            want_icv <= info_total < KBN + 17'd16;
            want_ct <= FIRST_CT;
            {drop, udp, soft_now, low} <= {info_drop, info_udp, info_soft, info_lease_low};
            tag <= info_tag;
            verdict <= info_status;
            seq <= info_seq;
            sa <= info_sa;
            gen <= info_gen;
            outlen <= info_outlen;
        end
        if (rst)
            cur <= 1'b0;
    end

    // ---- egress ----------------------------------------------------------------------------------------------------
    wire cut = last && end_bad;
    wire none = drop || poison || cut;
    wire [15:0] status = drop ? verdict : poison ? `ESPC_STATUS_ABORTED
                         : cut ? `ESPC_STATUS_TRUNCATED : `ESPC_STATUS_OK;
    reg                      q_valid;
    reg [W+KB+1+SIDE-1:0]    q;
    wire                     q_ready;
    assign ready = !q_valid || q_ready;
    always @(posedge clk) begin
        if (ready) begin
            q_valid <= s_valid && !rst;
            if (s_valid)
                q <= {none ? {W{1'b0}} : beat, none ? {KB{1'b0}} : keep, last, tag, status,
                      none ? 64'd0 : seq, sa, gen, none ? 16'd0 : outlen, soft_now,
                      low};
        end
        if (rst)
            q_valid <= 1'b0;
    end
    skid #(.W(W + KB + 1 + SIDE)) out (
        .clk(clk), .rst(rst), .s_valid(q_valid), .s_ready(q_ready), .s_data(q), .m_valid(m_tvalid),
        .m_ready(m_tready), .m_data({m_tdata, m_tkeep, m_tlast, m_tag, m_status, m_seq, m_sa, m_gen, m_len, m_soft,
                                     m_lease_low}));

    /* verilator lint_off UNUSED */ // bits that the shifts never reach
    wire unused = &{1'b0, hdr_turned, turn_wide, turn[1:0], icv_turned[127:0]};
    /* verilator lint_on UNUSED */
endmodule

`default_nettype wire
