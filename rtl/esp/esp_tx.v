// SPDX-License-Identifier: Apache-2.0
// The encapsulation pipeline: inner IPv4 packets in, ESP packets of tunnel or transport mode out (RFC 4303, AES-GCM by RFC 4106,
// UDP encapsulation by RFC 3948). A packet's life: esp_tx_in (parse) -> esp_tx_sa (look-up, sequence, limits) -> esp_tx_hdr
// (outer header) beside esp_tx_cut (transport mode) and esp_tx_build (padding, beats) -> gcm_core -> esp_tx_out (rotator, ICV, egress).
//
// Streaming: every stage takes a packet of another SA with each packet; at the egress a packet takes its outer bytes
// divided by 16 * LANES, rounded up, cycles. First byte out about 14 cycles after its packet's first beat plus the core's
// latency where a beat already needs ciphertext. The core cannot stall: `credit` counts the beats between builder and egress.
// Bytes: byte n in bits 8n+7:8n. Contract and slot port: see esp_pipe and esp_sa.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_tx #(
    parameter LANES = 1,
    parameter LOG2_SA = 10,
    parameter MAX_LEN = 9216,
    parameter TAGW = 16,
    parameter W = 128 * LANES,
    parameter KB = 16 * LANES
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               zeroize,
    output wire               zeroized,

    input  wire               s_enc_tvalid,
    output wire               s_enc_tready,
    input  wire [W-1:0]       s_enc_tdata,
    input  wire [KB-1:0]      s_enc_tkeep,
    input  wire               s_enc_tlast,
    input  wire [TAGW-1:0]    s_enc_tag,
    input  wire [31:0]        s_enc_sa,
    input  wire [15:0]        s_enc_gen,
    input  wire [15:0]        s_enc_len,
    output wire               m_enc_tvalid,
    input  wire               m_enc_tready,
    output wire [W-1:0]       m_enc_tdata,
    output wire [KB-1:0]      m_enc_tkeep,
    output wire               m_enc_tlast,
    output wire [TAGW-1:0]    m_enc_tag,
    output wire [15:0]        m_enc_status,
    output wire [63:0]        m_enc_seq,
    output wire [31:0]        m_enc_sa,
    output wire [15:0]        m_enc_gen,
    output wire [15:0]        m_enc_len,
    output wire               m_enc_soft,
    output wire               m_enc_lease_low,
    output reg                enc_done,
    output reg  [15:0]        enc_done_status,
    output reg  [15:0]        enc_done_len,
    output reg                enc_beat,

    input  wire               slot_valid,
    output wire               slot_ready,
    input  wire [2:0]         slot_op,
    input  wire [LOG2_SA-1:0] slot_index,
    input  wire [15:0]        slot_gen,
    input  wire [8*256-1:0]   slot_blob,
    input  wire [63:0]        slot_limit,
    input  wire [63:0]        slot_deadline,
    // FREERUN
    input  wire [63:0]        now,
    output wire               slot_done,
    output wire [15:0]        slot_status,
    output wire [31:0]        slot_refused,
    output wire [63:0]        slot_last_seq,
    output wire [63:0]        slot_packets,
    output wire [63:0]        slot_bytes,
    output wire [63:0]        slot_drops
);
    // A width out of range names a module that does not exist: no tool goes on.
    generate
        if (LANES != 1 && LANES != 2 && LANES != 4) begin : refused
            LANES_is_1_2_or_4 stop ();
        end
    endgenerate

    localparam LOG2_PKT = 6;  // packets between look-up and egress
    localparam LOG2_BEAT = 6; // beats between builder and egress

    // ---- parse -----------------------------------------------------------------------------------------------------
    wire            meta_valid, meta_ready, meta_df, meta_rsv, meta_frag, check_take, check_odd;
    wire            raw_valid, raw_ready, raw_last, raw_bad, raw_short, data_valid, data_ready, data_last, data_bad;
    wire [TAGW-1:0] meta_tag;
    wire [31:0]     meta_sa, meta_src, meta_dst;
    wire [15:0]     meta_gen, meta_len, meta_id, check_verdict;
    wire [7:0]      meta_tos, meta_ttl, meta_proto;
    wire [W-1:0]    raw, data;
    esp_tx_in #(.LANES(LANES), .TAGW(TAGW)) parser (
        .clk(clk), .rst(rst), .s_tvalid(s_enc_tvalid), .s_tready(s_enc_tready), .s_tdata(s_enc_tdata),
        .s_tkeep(s_enc_tkeep), .s_tlast(s_enc_tlast), .s_tag(s_enc_tag), .s_sa(s_enc_sa), .s_gen(s_enc_gen), .s_len(s_enc_len),
        .meta_valid(meta_valid), .meta_ready(meta_ready), .meta_tag(meta_tag), .meta_sa(meta_sa), .meta_gen(meta_gen),
        .meta_len(meta_len), .meta_tos(meta_tos), .meta_df(meta_df), .meta_id(meta_id),
        .meta_rsv(meta_rsv), .meta_ttl(meta_ttl), .meta_proto(meta_proto), .meta_src(meta_src), .meta_dst(meta_dst),
        .meta_frag(meta_frag), .check_take(check_take), .check_verdict(check_verdict), .check_odd(check_odd),
        .data_valid(raw_valid), .data_ready(raw_ready), .data(raw), .data_last(raw_last), .data_bad(raw_bad),
        .data_short(raw_short));

    // ---- look-up, sequence, limits; slot operations ------------------------------------------------------------------
    wire               slots_admit, hold, aborting, scrub;
    wire               op_ready, op_go, op_done, op_valid, op_expired, cfg_wen, end_wen, cfg_zero, drain_mark;
    wire [2:0]         op;
    wire [LOG2_SA-1:0] op_index, cfg_index;
    wire [15:0]        op_cur_gen;
    wire [63:0]        op_seq, op_limit, op_deadline, op_next_seq, op_cur_limit, op_packets, op_bytes, op_drops;
    wire               key_valid, key_ready, key_256, key_done, clr_valid, clr_ready, clr_done;
    wire               core_zeroize, core_zeroize_done;
    wire [255:0]       key;

    // packets admitted and packets gone, modulo 2^16
    reg [15:0] n_in, n_out, n_drain;
    reg        poison;
    reg        drained;
    // the sign tells whether the mark has been passed
    /* verilator lint_off UNUSED */
    wire [15:0] behind = n_out - n_drain;
    /* verilator lint_on UNUSED */
    assign slot_refused = 32'd0;

    esp_tx_slot #(.LOG2_SA(LOG2_SA)) slots (
        .clk(clk), .rst(rst), .zeroize(zeroize), .zeroized(zeroized), .admit(slots_admit), .hold(hold),
        .aborting(aborting), .scrub(scrub),
        .slot_valid(slot_valid), .slot_ready(slot_ready), .slot_op(slot_op), .slot_index(slot_index),
        .slot_gen(slot_gen), .slot_blob(slot_blob), .slot_limit(slot_limit), .slot_deadline(slot_deadline), .slot_done(slot_done),
        .slot_status(slot_status), .slot_last_seq(slot_last_seq), .slot_packets(slot_packets),
        .slot_bytes(slot_bytes), .slot_drops(slot_drops),
        .op_ready(op_ready), .op_go(op_go), .op(op), .op_index(op_index), .op_seq(op_seq), .op_limit(op_limit),
        .op_deadline(op_deadline), .op_expired(op_expired),
        .op_done(op_done), .op_valid(op_valid), .op_cur_gen(op_cur_gen), .op_next_seq(op_next_seq), .op_cur_limit(op_cur_limit),
        .op_packets(op_packets), .op_bytes(op_bytes), .op_drops(op_drops),
        .cfg_wen(cfg_wen), .end_wen(end_wen), .cfg_zero(cfg_zero), .cfg_index(cfg_index), .drain_mark(drain_mark), .drained(drained),
        .key_valid(key_valid), .key_ready(key_ready), .key(key), .key_256(key_256), .key_done(key_done),
        .clr_valid(clr_valid), .clr_ready(clr_ready), .clr_done(clr_done), .core_zeroize(core_zeroize),
        .core_zeroize_done(core_zeroize_done));

    wire                p_valid, p_soft, p_low, p_df, p_udp, p_esn, p_rsv, p_cut;
    wire [TAGW-1:0]     p_tag;
    wire [31:0]         p_sa, p_spi, p_src, p_dst;
    wire [15:0]         p_gen, p_status, p_id, p_len, p_ptlen, p_outlen, p_sport, p_dport;
    wire [63:0]         p_seq;
    wire [7:0]          p_tos, p_ttl, p_next;
    wire [LOG2_PKT:0]   info_level;
    // five packets may be on their way when the queue is seen to fill
    reg  room;
    always @(posedge clk)
        room <= info_level < (1 << LOG2_PKT) - 10;

    esp_tx_sa #(.LOG2_SA(LOG2_SA), .TAGW(TAGW), .MAX_LEN(MAX_LEN)) sa (
        .clk(clk), .rst(rst), .admit(slots_admit && room && !poison), .now(now),
        .meta_valid(meta_valid), .meta_ready(meta_ready), .meta_tag(meta_tag), .meta_sa(meta_sa), .meta_gen(meta_gen),
        .meta_len(meta_len), .meta_tos(meta_tos), .meta_df(meta_df), .meta_id(meta_id),
        .meta_rsv(meta_rsv), .meta_ttl(meta_ttl), .meta_proto(meta_proto), .meta_src(meta_src), .meta_dst(meta_dst),
        .meta_frag(meta_frag), .check_take(check_take), .check_verdict(check_verdict), .check_odd(check_odd),
        .out_valid(p_valid), .out_tag(p_tag), .out_sa(p_sa), .out_gen(p_gen), .out_status(p_status), .out_seq(p_seq),
        .out_id(p_id), .out_soft(p_soft), .out_lease_low(p_low), .out_len(p_len), .out_ptlen(p_ptlen),
        .out_outlen(p_outlen), .out_tos(p_tos), .out_df(p_df), .out_udp(p_udp), .out_esn(p_esn), .out_spi(p_spi),
        .out_src(p_src), .out_dst(p_dst), .out_sport(p_sport), .out_dport(p_dport),
        .out_ttl(p_ttl), .out_rsv(p_rsv), .out_next(p_next), .out_cut(p_cut),
        .op_ready(op_ready), .op_go(op_go), .op(op), .op_index(op_index), .op_gen(slot_gen), .op_seq(op_seq), .op_limit(op_limit),
        .op_deadline(op_deadline), .op_expired(op_expired),
        .op_done(op_done), .op_valid(op_valid), .op_cur_gen(op_cur_gen), .op_next_seq(op_next_seq),
        .op_cur_limit(op_cur_limit), .op_packets(op_packets), .op_bytes(op_bytes), .op_drops(op_drops),
        .cfg_wen(cfg_wen), .end_wen(end_wen), .cfg_zero(cfg_zero), .cfg_index(cfg_index), .cfg_blob(slot_blob));
    wire p_ok = p_status == `ESPC_STATUS_OK;

    // ---- outer header ------------------------------------------------------------------------------------------------
    wire         h_valid, hdr_valid, hdr_ready, hdr_room;
    wire [511:0] h_data, hdr;
    wire [LOG2_PKT:0] hdr_level, job_level, icv_level;
    wire [LOG2_BEAT:0] ct_level;
    esp_tx_hdr header (
        .clk(clk), .rst(rst), .in_valid(p_valid && p_ok), .in_seq(p_seq), .in_id(p_id), .in_outlen(p_outlen),
        .in_tos(p_tos), .in_rsv(p_rsv), .in_df(p_df), .in_udp(p_udp), .in_spi(p_spi), .in_src(p_src), .in_dst(p_dst),
        .in_sport(p_sport), .in_dport(p_dport), .in_ttl(p_ttl), .out_valid(h_valid), .hdr(h_data));
    fifo #(.W(512), .LOG2_D(LOG2_PKT)) hdr_q (
        .clk(clk), .rst(rst), .wr_valid(h_valid), .wr_ready(hdr_room), .wdata(h_data), .rd_valid(hdr_valid),
        .rd_ready(hdr_ready), .rdata(hdr), .level(hdr_level));

    // ---- transport mode: the payload alone ---------------------------------------------------------------------------
    wire cut_valid, cut_ready, cut, cut_room;
    wire [LOG2_PKT:0] cut_level;
    fifo #(.W(1), .LOG2_D(LOG2_PKT)) cut_q (
        .clk(clk), .rst(rst), .wr_valid(p_valid), .wr_ready(cut_room), .wdata(p_cut), .rd_valid(cut_valid),
        .rd_ready(cut_ready), .rdata(cut), .level(cut_level));
    esp_tx_cut #(.LANES(LANES)) cutter (
        .clk(clk), .rst(rst), .c_valid(cut_valid), .c_ready(cut_ready), .c_cut(cut), .s_valid(raw_valid), .s_ready(raw_ready),
        .s_data(raw), .s_last(raw_last), .s_bad(raw_bad), .s_short(raw_short), .m_valid(data_valid), .m_ready(data_ready),
        .m_data(data), .m_last(data_last), .m_bad(data_bad));

    // ---- beat builder ------------------------------------------------------------------------------------------------
    localparam JOB = 1 + LOG2_SA + 32 + 64 + 1 + 16 + 16 + 8;
    wire               job_valid, job_ready, job_room, job_drop, job_esn;
    wire [LOG2_SA-1:0] job_sa, salt_sa;
    wire [31:0]        job_spi, salt;
    wire               salt_read, end_new, end_new_bad;
    wire [63:0]        job_seq;
    wire [15:0]        job_len, job_ptlen;
    wire [7:0]         job_next;
    fifo #(.W(JOB), .LOG2_D(LOG2_PKT)) job_q (
        .clk(clk), .rst(rst), .wr_valid(p_valid), .wr_ready(job_room),
        .wdata({!p_ok, p_sa[LOG2_SA-1:0], p_spi, p_seq, p_esn, p_len, p_ptlen, p_next}),
        .rd_valid(job_valid), .rd_ready(job_ready),
        .rdata({job_drop, job_sa, job_spi, job_seq, job_esn, job_len, job_ptlen, job_next}), .level(job_level));
    // salts are secret: they are read where they are used and wait in no queue
    wire forget = scrub || clr_done;
    key_ram #(.W(32), .LOG2_D(LOG2_SA)) salts (
        .clk(clk), .wen(cfg_wen), .waddr(cfg_index),
        .wdata(cfg_zero ? 32'd0 : slot_blob[`ESPC_SA_BLOB_SALT_LSB +: 32]), .ren(salt_read), .scrub(forget),
        .raddr(salt_sa), .rdata(salt));

    wire               in_valid, in_sop, in_eop;
    wire [LOG2_SA-1:0] in_sa;
    wire [95:0]        in_nonce;
    wire [127:0]       in_aad, icv_new, icv;
    wire [4:0]         in_aad_len;
    wire [W-1:0]       in_data, ct_new, ct;
    wire [6:0]         in_bytes;
    reg  [LOG2_BEAT:0] beats;
    reg                credit;
    esp_tx_build #(.LANES(LANES), .LOG2_SA(LOG2_SA)) builder (
        .clk(clk), .rst(rst), .hold(hold), .forget(forget), .credit(credit), .job_valid(job_valid),
        .job_ready(job_ready), .job_drop(job_drop), .job_sa(job_sa), .job_spi(job_spi),
        .job_seq(job_seq), .job_esn(job_esn), .job_len(job_len), .job_ptlen(job_ptlen), .job_next(job_next),
        .data_valid(data_valid), .data_ready(data_ready), .data(data), .data_last(data_last), .data_bad(data_bad),
        .end_valid(end_new), .end_bad(end_new_bad), .salt_read(salt_read), .salt_sa(salt_sa), .salt(salt),
        .in_valid(in_valid), .in_sop(in_sop), .in_eop(in_eop), .in_sa(in_sa), .in_nonce(in_nonce), .in_aad(in_aad),
        .in_aad_len(in_aad_len), .in_data(in_data), .in_bytes(in_bytes));

    // ---- AES-GCM -----------------------------------------------------------------------------------------------------
    wire       ct_new_valid, icv_new_valid;
    wire       core_sop, core_eop, core_meta, core_tag_meta;
    wire [6:0] core_bytes;
    gcm_core #(.LANES(LANES), .LOG2_SA(LOG2_SA), .ENC(1), .META_W(1)) core (
        .clk(clk), .rst(rst), .key_valid(key_valid), .key_ready(key_ready), .key_sa(slot_index), .key(key),
        .key_256(key_256), .key_done(key_done), .clr_valid(clr_valid), .clr_ready(clr_ready), .clr_sa(slot_index),
        .clr_done(clr_done), .zeroize(core_zeroize), .zeroize_done(core_zeroize_done),
        .in_valid(in_valid), .in_sop(in_sop), .in_eop(in_eop), .in_sa(in_sa), .in_nonce(in_nonce), .in_aad(in_aad),
        .in_aad_len(in_aad_len), .in_data(in_data), .in_bytes(in_bytes), .in_meta(1'b0),
        .out_valid(ct_new_valid), .out_sop(core_sop), .out_eop(core_eop), .out_data(ct_new), .out_bytes(core_bytes),
        .out_meta(core_meta), .tag_valid(icv_new_valid), .tag(icv_new), .tag_meta(core_tag_meta));

    wire ct_valid, ct_ready, ct_room, icv_valid, icv_ready, icv_room, end_valid, end_ready, end_bad, end_room;
    wire [LOG2_PKT:0] end_level;
    fifo #(.W(W), .LOG2_D(LOG2_BEAT)) ct_q (
        .clk(clk), .rst(rst), .wr_valid(ct_new_valid), .wr_ready(ct_room), .wdata(ct_new), .rd_valid(ct_valid),
        .rd_ready(ct_ready), .rdata(ct), .level(ct_level));
    fifo #(.W(128), .LOG2_D(LOG2_PKT)) icv_q (
        .clk(clk), .rst(rst), .wr_valid(icv_new_valid), .wr_ready(icv_room), .wdata(icv_new), .rd_valid(icv_valid),
        .rd_ready(icv_ready), .rdata(icv), .level(icv_level));

    fifo #(.W(1), .LOG2_D(LOG2_PKT)) end_q (
        .clk(clk), .rst(rst), .wr_valid(end_new), .wr_ready(end_room), .wdata(end_new_bad), .rd_valid(end_valid),
        .rd_ready(end_ready), .rdata(end_bad), .level(end_level));

    // ---- egress ------------------------------------------------------------------------------------------------------
    localparam INFO = TAGW + 16 + 64 + 32 + 16 + 16 + 3;
    wire            info_valid, info_ready, info_room, info_soft, info_low, info_udp;
    wire [TAGW-1:0] info_tag;
    wire [15:0]     info_status, info_gen, info_outlen;
    wire [63:0]     info_seq;
    wire [31:0]     info_sa;
    fifo #(.W(INFO), .LOG2_D(LOG2_PKT)) info_q (
        .clk(clk), .rst(rst), .wr_valid(p_valid), .wr_ready(info_room),
        .wdata({p_tag, p_status, p_seq, p_sa, p_gen, p_outlen, p_soft, p_low, p_udp}),
        .rd_valid(info_valid), .rd_ready(info_ready),
        .rdata({info_tag, info_status, info_seq, info_sa, info_gen, info_outlen, info_soft, info_low, info_udp}),
        .level(info_level));
    esp_tx_out #(.LANES(LANES), .TAGW(TAGW)) egress (
        .clk(clk), .rst(rst), .poison(poison), .info_valid(info_valid), .info_ready(info_ready), .info_tag(info_tag),
        .info_status(info_status), .info_seq(info_seq), .info_sa(info_sa), .info_gen(info_gen),
        .info_outlen(info_outlen), .info_soft(info_soft), .info_lease_low(info_low), .info_udp(info_udp),
        .end_valid(end_valid), .end_ready(end_ready), .end_bad(end_bad),
        .hdr_valid(hdr_valid), .hdr_ready(hdr_ready), .hdr(hdr), .ct_valid(ct_valid), .ct_ready(ct_ready), .ct(ct),
        .icv_valid(icv_valid), .icv_ready(icv_ready), .icv(icv),
        .m_tvalid(m_enc_tvalid), .m_tready(m_enc_tready), .m_tdata(m_enc_tdata), .m_tkeep(m_enc_tkeep),
        .m_tlast(m_enc_tlast), .m_tag(m_enc_tag), .m_status(m_enc_status), .m_seq(m_enc_seq), .m_sa(m_enc_sa),
        .m_gen(m_enc_gen), .m_len(m_enc_len), .m_soft(m_enc_soft), .m_lease_low(m_enc_lease_low));

    // ---- books -------------------------------------------------------------------------------------------------------
    wire took = meta_valid && meta_ready;
    wire left = m_enc_tvalid && m_enc_tready && m_enc_tlast;
    reg  ct_taken;
    always @(posedge clk) begin
        if (took)
            n_in <= n_in + 1'b1;
        if (left)
            n_out <= n_out + 1'b1;
        if (drain_mark)
            n_drain <= n_in + {15'd0, took};
        drained <= !drain_mark && !behind[15];
        poison <= aborting || (poison && n_in != n_out);
        ct_taken <= ct_ready;
        if (in_valid != ct_taken)
            beats <= in_valid ? beats + 1'b1 : beats - 1'b1;
        // four more may be issued before this is seen
        credit <= beats < (1 << LOG2_BEAT) - 4;
        enc_done <= left;
        enc_beat <= m_enc_tvalid && m_enc_tready;
        if (left) begin
            enc_done_status <= m_enc_status;
            enc_done_len <= m_enc_len;
        end
        if (rst) begin
            n_in <= 16'd0;
            n_out <= 16'd0;
            n_drain <= 16'd0;
            drained <= 1'b0;
            poison <= 1'b0;
            ct_taken <= 1'b0;
            beats <= {LOG2_BEAT+1{1'b0}};
            credit <= 1'b0;
            enc_done <= 1'b0;
            enc_beat <= 1'b0;
        end
    end

    /* verilator lint_off UNUSED */ // queues that cannot overflow (room, credit), core outputs that repeat what is known
    wire unused = &{1'b0, end_room, end_level, cut_room, cut_level, hdr_room, job_room, ct_room, icv_room, info_room, hdr_level, job_level, icv_level, ct_level,
                    core_sop, core_eop, core_meta, core_tag_meta, core_bytes};
    /* verilator lint_on UNUSED */
endmodule

`default_nettype wire
