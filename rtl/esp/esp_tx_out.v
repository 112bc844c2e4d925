// SPDX-License-Identifier: Apache-2.0
// Encapsulation, stage 5: the rotator and egress. Each output beat is put together in one cycle from up to three pieces:
// the outer header, the ciphertext turned by the header's length, and the ICV turned by the ICV's place (RFC 4303
// section 2), so a packet takes exactly as many beats as its bytes fill.
//
// Latency 2 cycles from the inputs to the stream, no cycle lost between packets. Pieces start at multiples of 4 bytes.
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

    // bytes before the current beat, ciphertext bytes not yet taken
    reg         mid;
    reg [16:0]  pos_r, ct_left_r;
    reg [W-1:0] residue;
    wire [16:0] hlen = info_udp ? 17'd44 : 17'd36;
    wire [16:0] total = {1'b0, info_outlen};
    wire [16:0] icv_at = total - 17'd16;
    wire [16:0] pos = pos_r;
    wire [16:0] ct_left = mid ? ct_left_r : icv_at - hlen;
    wire [16:0] pos_end = pos + KBN;

    wire drop = info_status != `ESPC_STATUS_OK;
    wire want_ct = pos_end > hlen && ct_left != 0;
    wire want_icv = pos_end > icv_at;
    wire last = drop || pos_end >= total;
    wire ready, s_valid;
    wire go = info_valid && ready
              && (!last || end_valid) && (drop || (hdr_valid && (!want_ct || ct_valid) && (!want_icv || icv_valid)));
    assign info_ready = go && last;
    assign end_ready = go && last;
    assign hdr_ready = go && last && !drop;
    assign icv_ready = go && last && !drop;
    assign ct_ready = go && want_ct && !drop;
    // an aborted packet's beats are swallowed but for its last
    assign s_valid = go && (last || !poison);

    // ---- the three pieces ------------------------------------------------------------------------------------------
    wire [1023:0] hdr_wide = {512'd0, hdr};
    wire [W-1:0]  hdr_part = (pos < 17'd64) ? hdr_wide[{1'b0, pos[5:0], 3'd0} +: W] : {W{1'b0}};
    wire [16:0]   turn_wide = hlen & (KBN - 17'd1);
    wire [5:0]    turn = turn_wide[5:0];
    wire [2*W-1:0] ct_turned = {{W{1'b0}}, ct} << {turn[5:2], 5'd0};
    wire [W-1:0]  ct_part = (mid ? residue : {W{1'b0}}) | (want_ct ? ct_turned[W-1:0] : {W{1'b0}});
    // where the ICV begins, counted from 16 bytes before this beat
    wire [16:0]   icv_off = total - pos;
    wire [W+127:0] icv_turned = {{W{1'b0}}, icv} << {icv_off[6:2], 5'd0};
    wire [W-1:0]  icv_part = want_icv ? icv_turned[W+127:128] : {W{1'b0}};
    wire [W-1:0]  beat = hdr_part | ct_part | icv_part;
    wire [16:0]   keep_n = icv_off;
    wire [KB-1:0] keep = (keep_n >= KBN) ? {KB{1'b1}} : ~({KB{1'b1}} << keep_n[5:0]);

    always @(posedge clk) begin
        if (go) begin
            mid <= !last;
            pos_r <= last ? 17'd0 : pos_end;
            if (!drop) begin
                ct_left_r <= !want_ct ? ct_left : (ct_left > KBN) ? ct_left - KBN : 17'd0;
                residue <= want_ct ? ct_turned[2*W-1:W] : {W{1'b0}};
            end
        end
        if (rst) begin
            mid <= 1'b0;
            pos_r <= 17'd0;
        end
    end

    // ---- egress ----------------------------------------------------------------------------------------------------
    wire cut = last && end_bad;
    wire none = drop || poison || cut;
    wire [15:0] status = drop ? info_status : poison ? `ESPC_STATUS_ABORTED
                         : cut ? `ESPC_STATUS_TRUNCATED : `ESPC_STATUS_OK;
    reg                      q_valid;
    reg [W+KB+1+SIDE-1:0]    q;
    wire                     q_ready;
    assign ready = !q_valid || q_ready;
    always @(posedge clk) begin
        if (ready) begin
            q_valid <= s_valid && !rst;
            if (s_valid)
                q <= {none ? {W{1'b0}} : beat, none ? {KB{1'b0}} : keep, last, info_tag, status,
                      none ? 64'd0 : info_seq, info_sa, info_gen, none ? 16'd0 : info_outlen, info_soft,
                      info_lease_low};
        end
        if (rst)
            q_valid <= 1'b0;
    end
    skid #(.W(W + KB + 1 + SIDE)) out (
        .clk(clk), .rst(rst), .s_valid(q_valid), .s_ready(q_ready), .s_data(q), .m_valid(m_tvalid),
        .m_ready(m_tready), .m_data({m_tdata, m_tkeep, m_tlast, m_tag, m_status, m_seq, m_sa, m_gen, m_len, m_soft,
                                     m_lease_low}));

    /* verilator lint_off UNUSED */ // bits that the shifts never reach
    wire unused = &{1'b0, hdr_wide, turn_wide, turn[1:0], icv_off, icv_turned[127:0], keep_n};
    /* verilator lint_on UNUSED */
endmodule

`default_nettype wire
