// SPDX-License-Identifier: Apache-2.0
// The decapsulation pipeline: outer packets in, verified inner packets out (RFC 4303 tunnel and transport mode, RFC 4106,
// RFC 3948).
//
//   s_dec -> beat store ------------------------> esp_rx_build -> gcm_core -> esp_rx_egress (store) -> m_dec
//     \-> esp_rx_parse -> esp_rx_lookup -> jobs --/                 | esp_rx_check       ^
//                                      \-> contexts -> esp_rx_commit <- tag, ICV, check -+-- verdicts
//
// Every stage works on another packet; up to 56 are inside. Packets leave in order, one for one.
// Latency from a packet's last beat in to its first beat out: 43 cycles with nothing in front. Initiation
// interval: the larger of the packet's beats in and out, and 2 cycles.
// Contract: as esp_pipe's s_dec_* and m_dec_*; plaintext leaves only after its ICV and its sequence number
// have been found right. `zeroized` is low from zeroize (a pulse) or rst until no key is left; packets inside
// then leave as ABORTED.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_rx #(
    parameter LANES = 1,
    parameter LOG2_SA = 10,
    // log2 of the places in each of the four ways of the SPI table: eight times as many places as SAs, so that
    // random SPIs find one (see esp_rx_hash)
    parameter LOG2_B = LOG2_SA + 1,
    parameter MAX_LEN = 9216,
    parameter TAGW = 16,
    parameter W = 128 * LANES,
    parameter KB = 16 * LANES
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               zeroize,
    output wire               zeroized,

    input  wire               s_dec_tvalid,
    output wire               s_dec_tready,
    input  wire [W-1:0]       s_dec_tdata,
    input  wire [KB-1:0]      s_dec_tkeep,
    input  wire               s_dec_tlast,
    input  wire [TAGW-1:0]    s_dec_tag,
    input  wire [15:0]        s_dec_len,

    output wire               m_dec_tvalid,
    input  wire               m_dec_tready,
    output wire [W-1:0]       m_dec_tdata,
    output wire [KB-1:0]      m_dec_tkeep,
    output wire               m_dec_tlast,
    output wire [TAGW-1:0]    m_dec_tag,
    output wire [15:0]        m_dec_status,
    output wire [63:0]        m_dec_seq,
    output wire [31:0]        m_dec_sa,
    output wire [15:0]        m_dec_gen,
    output wire [15:0]        m_dec_len,
    output wire               m_dec_soft,
    output wire               m_dec_src_changed,

    output wire               dec_done,
    output wire [15:0]        dec_done_status,
    output wire [15:0]        dec_done_len,
    output wire               dec_beat,

    input  wire               slot_valid,
    output wire               slot_ready,
    input  wire [2:0]         slot_op,
    input  wire [LOG2_SA-1:0] slot_index,
    input  wire [15:0]        slot_gen,
    input  wire [8*256-1:0]   slot_blob,
    /* verilator lint_off UNUSEDSIGNAL */ // leases are outbound
    input  wire [63:0]        slot_limit,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire               seed_valid,
    input  wire [3:0]         seed_index,
    input  wire [63:0]        seed_word,
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

    localparam WAY_W = 65 + LOG2_SA;
    localparam CFG_W = 95;
    // the store of opened beats: 32 KiB
    localparam LOG2_D = (LANES == 1) ? 11 : (LANES == 2) ? 10 : 9;
    // packets between look-up and egress; the queues that they wait in hold as many
    localparam [6:0] INSIDE = 7'd56;

    wire wipe;
    wire [7:0] epoch;
    assign slot_refused = 32'd0;

    // ---- in: beats wait while their header is looked at ---------------------------------------------------
    wire beat_ready;
    wire b_valid, b_take, b_last, b_bad, s_bad;
    wire [W-1:0] b_data;
    wire [4:0] desc_level;
    wire s_take = s_dec_tvalid && s_dec_tready;
    reg  first;
    assign s_dec_tready = beat_ready && (!first || desc_level < 5'd8);
    always @(posedge clk)
        if (rst)
            first <= 1'b1;
        else if (s_take)
            first <= s_dec_tlast;

    /* verilator lint_off PINCONNECTEMPTY */ // levels that nobody needs
    esp_len #(.LANES(LANES)) length (
        .clk(clk), .rst(rst), .take(s_take), .last(s_dec_tlast), .keep(s_dec_tkeep), .len(s_dec_len), .bad(s_bad)
    );
    fifo #(.W(W + 2), .LOG2_D(6)) beats (
        .clk(clk), .rst(rst), .wr_valid(s_take), .wr_ready(beat_ready), .wdata({s_bad, s_dec_tlast, s_dec_tdata}),
        .rd_valid(b_valid), .rd_ready(b_take), .rdata({b_bad, b_last, b_data}), .level()
    );

    // ---- descriptors --------------------------------------------------------------------------------------
    wire p_valid, p_udp, p_short;
    wire [TAGW-1:0] p_tag;
    wire [4:0] p_status, p_words;
    wire [7:0] p_tos, p_ttl;
    wire [15:0] p_id, p_sum;
    wire [1:0] p_flags;
    wire [31:0] p_src, p_dst, p_spi, p_seq;
    wire [15:0] p_sport, p_dport, p_bytes;
    wire [63:0] p_iv;
    wire [4*LOG2_B-1:0] p_places, d_places;
    esp_rx_parse #(.LANES(LANES), .MAX_LEN(MAX_LEN), .TAGW(TAGW), .LOG2_B(LOG2_B)) parse (
        .clk(clk), .rst(rst), .s_take(s_take), .s_data(s_dec_tdata), .s_last(s_dec_tlast), .s_bad(s_bad),
        .s_tag(s_dec_tag), .s_len(s_dec_len),
        .d_valid(p_valid), .d_tag(p_tag), .d_status(p_status), .d_udp(p_udp), .d_tos(p_tos), .d_id(p_id),
        .d_flags(p_flags), .d_ttl(p_ttl), .d_sum(p_sum), .d_src(p_src),
        .d_dst(p_dst), .d_sport(p_sport), .d_dport(p_dport), .d_spi(p_spi), .d_places(p_places),
        .d_seq(p_seq), .d_iv(p_iv),
        .d_words(p_words), .d_bytes(p_bytes), .d_short(p_short)
    );

    wire d_valid, d_udp, d_short;
    wire [7:0] d_epoch;
    wire [TAGW-1:0] d_tag;
    wire [4:0] d_status, d_words;
    wire [7:0] d_tos, d_ttl;
    wire [15:0] d_id, d_sum;
    wire [1:0] d_flags;
    wire [31:0] d_src, d_dst, d_spi, d_seq;
    wire [15:0] d_sport, d_dport, d_bytes;
    wire [63:0] d_iv;
    reg [6:0] n_inside;
    wire d_take = d_valid && n_inside < INSIDE;
    wire pkt_out = m_dec_tvalid && m_dec_tready && m_dec_tlast;
    fifo #(.W(8 + TAGW + 5 + 1 + 8 + 128 + 32 + 64 + 5 + 16 + 1 + 4*LOG2_B + 42), .LOG2_D(4)) descs (
        .clk(clk), .rst(rst), .wr_valid(p_valid), .wr_ready(),
        .wdata({epoch, p_tag, p_status, p_udp, p_tos, p_src, p_dst, p_sport, p_dport, p_spi, p_seq, p_iv,
            p_words,
                p_bytes, p_short, p_places, p_id, p_flags, p_ttl, p_sum}),
        .rd_valid(d_valid), .rd_ready(d_take),
        .rdata({d_epoch, d_tag, d_status, d_udp, d_tos, d_src, d_dst, d_sport, d_dport, d_spi, d_seq, d_iv,
            d_words,
                d_bytes, d_short, d_places, d_id, d_flags, d_ttl, d_sum}), .level(desc_level)
    );
    always @(posedge clk)
        if (rst)
            n_inside <= 7'd0;
        else if (d_take != pkt_out)
            n_inside <= d_take ? n_inside + 7'd1 : n_inside - 7'd1;

    // ---- look-up ------------------------------------------------------------------------------------------
    wire b_en, cfg_we, end_we, drain_we, drain_wdata, scrub;
    wire [3:0] b_we;
    wire [4*LOG2_B-1:0] b_addr;
    wire [WAY_W-1:0] b_wdata;
    wire [4*WAY_W-1:0] b_rdata;
    wire [LOG2_SA-1:0] cfg_addr;
    wire [CFG_W-1:0] cfg_wdata;
    wire top_en, win_en;
    wire [LOG2_SA-1:0] top_addr;
    wire [LOG2_SA+4:0] win_addr;
    wire [63:0] top_rdata;
    wire [116:0] win_rdata;

    wire v_valid, v_found, v_src_changed, v_no_ecn, v_dscp_decap, v_esn;
    wire [7:0] v_epoch;
    wire [TAGW-1:0] v_tag;
    wire [4:0] v_status, v_words;
    wire [LOG2_SA-1:0] v_slot;
    wire [15:0] v_gen, v_bytes;
    wire [63:0] v_seq;
    wire [7:0] v_tos;
    wire v_transport;
    wire [97:0] v_head;
    wire [15:0] v_sum;
    wire [10:0] v_window;
    wire [95:0] v_aad;
    wire [63:0] v_iv;
    wire v_open = v_status == 5'd0;

    esp_rx_lookup #(.LOG2_SA(LOG2_SA), .LOG2_B(LOG2_B), .TAGW(TAGW), .WAY_W(WAY_W), .CFG_W(CFG_W)) lookup (
        .clk(clk), .rst(rst), .wipe(wipe), .epoch(epoch), .d_take(d_take), .d_epoch(d_epoch), .d_tag(d_tag),
        .d_status(d_status), .d_udp(d_udp), .d_tos(d_tos), .d_id(d_id), .d_flags(d_flags),
        .d_ttl(d_ttl), .d_sum(d_sum), .d_src(d_src), .d_dst(d_dst), .d_sport(d_sport),
        .d_dport(d_dport), .d_spi(d_spi), .d_places(d_places), .d_seq(d_seq), .d_iv(d_iv),
        .d_words(d_words), .d_bytes(d_bytes),
        .d_short(d_short), .b_en(b_en), .b_we(b_we), .b_addr(b_addr), .b_wdata(b_wdata), .b_rdata(b_rdata),
        .cfg_we(cfg_we), .end_we(end_we), .cfg_addr(cfg_addr), .cfg_wdata(cfg_wdata), .drain_we(drain_we),
        .drain_wdata(drain_wdata),
        .scrub(scrub), .top_en(top_en), .top_addr(top_addr), .top_rdata(top_rdata), .win_en(win_en),
        .win_addr(win_addr), .win_rdata(win_rdata), .v_valid(v_valid), .v_epoch(v_epoch), .v_tag(v_tag),
        .v_status(v_status), .v_found(v_found), .v_slot(v_slot), .v_gen(v_gen), .v_seq(v_seq),
        .v_src_changed(v_src_changed), .v_tos(v_tos), .v_transport(v_transport), .v_head(v_head), .v_sum(v_sum), .v_no_ecn(v_no_ecn), .v_dscp_decap(v_dscp_decap),
        .v_window(v_window), .v_iv(v_iv), .v_aad(v_aad), .v_esn(v_esn), .v_words(v_words), .v_bytes(v_bytes)
    );

    // ---- open ---------------------------------------------------------------------------------------------
    wire j_valid, j_take, j_open, j_esn;
    wire [7:0] j_epoch;
    wire [4:0] j_words;
    wire [15:0] j_bytes;
    wire [LOG2_SA-1:0] j_slot;
    wire [95:0] j_aad;
    wire [63:0] j_iv;
    wire [31:0] salt, salt_wdata;
    wire salt_held;
    fifo #(.W(1 + 8 + 5 + 16 + LOG2_SA + 64 + 96 + 1), .LOG2_D(6)) jobs (
        .clk(clk), .rst(rst), .wr_valid(v_valid), .wr_ready(),
        .wdata({v_open, v_epoch, v_words, v_bytes, v_slot, v_iv, v_aad, v_esn}),
        .rd_valid(j_valid), .rd_ready(j_take),
        .rdata({j_open, j_epoch, j_words, j_bytes, j_slot, j_iv, j_aad, j_esn}), .level()
    );
    key_ram #(.W(32), .LOG2_D(LOG2_SA)) salts (
        .clk(clk), .wen(cfg_we), .waddr(cfg_addr), .wdata(salt_wdata), .ren(j_take), .scrub(scrub && !salt_held),
        .raddr(j_slot),
        .rdata(salt)
    );

    wire g_valid, g_sop, g_eop, g_next, icv_push, icv_cut;
    wire [W-1:0] g_data;
    wire [6:0] g_bytes;
    wire [LOG2_SA-1:0] g_slot;
    wire [95:0] g_nonce, g_aad;
    wire [4:0] g_aad_len;
    wire [127:0] icv_new;
    reg [LOG2_D:0] stored;     // beats in the core and in the store behind it; the uppermost bit says that it is full
    wire free;
    wire [LOG2_D:0] free_beats;
    // given back a cycle later
    reg freed;
    reg [LOG2_D:0] freed_beats;
    always @(posedge clk) begin
        freed <= free;
        if (free)
            freed_beats <= free_beats;
        if (rst || wipe)
            stored <= {LOG2_D+1{1'b0}};
        else if (g_next || freed)
            stored <= stored + {{LOG2_D{1'b0}}, g_next} - (freed ? freed_beats : {LOG2_D+1{1'b0}});
        if (rst)
            freed <= 1'b0;
    end

    esp_rx_build #(.LANES(LANES), .LOG2_SA(LOG2_SA)) build (
        .clk(clk), .rst(rst), .wipe(wipe), .scrub(scrub), .epoch(epoch),
        .b_valid(b_valid), .b_take(b_take), .b_data(b_data), .b_last(b_last), .b_bad(b_bad),
        .j_valid(j_valid), .j_take(j_take), .j_open(j_open), .j_epoch(j_epoch), .j_words(j_words),
        .j_bytes(j_bytes),
        .j_slot(j_slot), .j_iv(j_iv), .j_aad(j_aad), .j_esn(j_esn), .salt(salt), .salt_held(salt_held), .room(!stored[LOG2_D]),
        .g_valid(g_valid), .g_sop(g_sop), .g_eop(g_eop), .g_data(g_data), .g_bytes(g_bytes), .g_slot(g_slot),
        .g_nonce(g_nonce), .g_aad(g_aad), .g_aad_len(g_aad_len), .g_next(g_next),
        .icv_valid(icv_push), .icv(icv_new), .icv_cut(icv_cut)
    );

    wire key_valid, key_ready, key_256, key_done, clr_valid, clr_ready, clr_done, gcm_zeroize, gcm_zeroized;
    wire [255:0] key;
    wire o_valid, o_sop, o_eop, tag_push;
    wire [W-1:0] o_data;
    wire [6:0] o_bytes;
    wire [127:0] tag_new;
    gcm_core #(.LANES(LANES), .LOG2_SA(LOG2_SA), .ENC(0), .META_W(1)) gcm (
        .clk(clk), .rst(rst), .key_valid(key_valid), .key_ready(key_ready), .key_sa(slot_index), .key(key),
        .key_256(key_256), .key_done(key_done), .clr_valid(clr_valid), .clr_ready(clr_ready),
        .clr_sa(slot_index),
        .clr_done(clr_done), .zeroize(gcm_zeroize), .zeroize_done(gcm_zeroized),
        .in_valid(g_valid && !wipe), .in_sop(g_sop), .in_eop(g_eop), .in_sa(g_slot), .in_nonce(g_nonce),
        .in_aad({32'd0, g_aad}), .in_aad_len(g_aad_len), .in_data(g_data), .in_bytes(g_bytes), .in_meta(1'b0),
        .out_valid(o_valid), .out_sop(o_sop), .out_eop(o_eop), .out_data(o_data), .out_bytes(o_bytes),
        .out_meta(),
        .tag_valid(tag_push), .tag(tag_new), .tag_meta()
    );
    assign scrub = clr_done || wipe;

    // ---- what the verdict needs: tag, ICV and a look at the plaintext, each as soon as it comes -----------
    wire i_valid, i_pad_ok;
    wire [7:0] i_pad_len, i_next, i_version, i_tos;
    wire [15:0] i_total, i_sum, i_whole;
    esp_rx_check #(.LANES(LANES)) check (
        .clk(clk), .rst(rst), .p_valid(o_valid && !wipe), .p_sop(o_sop), .p_eop(o_eop), .p_data(o_data),
        .p_bytes(o_bytes), .i_valid(i_valid), .i_pad_ok(i_pad_ok), .i_pad_len(i_pad_len), .i_next(i_next),
        .i_version(i_version), .i_tos(i_tos), .i_total(i_total), .i_sum(i_sum), .i_whole(i_whole)
    );

    wire flush = rst || wipe;
    wire tag_valid, icv_valid, info_valid, o_take, o_cut;
    wire [127:0] tag, icv;
    wire n_pad_ok;
    wire [7:0] n_pad_len, n_next, n_version, n_tos;
    wire [15:0] n_total, n_sum, n_whole;
    fifo #(.W(128), .LOG2_D(6)) tags (
        .clk(clk), .rst(flush), .wr_valid(tag_push), .wr_ready(), .wdata(tag_new), .rd_valid(tag_valid),
        .rd_ready(o_take), .rdata(tag), .level()
    );
    fifo #(.W(129), .LOG2_D(6)) icvs (
        .clk(clk), .rst(flush), .wr_valid(icv_push), .wr_ready(), .wdata({icv_cut, icv_new}), .rd_valid(icv_valid),
        .rd_ready(o_take), .rdata({o_cut, icv}), .level()
    );
    fifo #(.W(81), .LOG2_D(6)) infos (
        .clk(clk), .rst(flush), .wr_valid(i_valid), .wr_ready(),
        .wdata({i_pad_ok, i_pad_len, i_next, i_version, i_tos, i_total, i_sum, i_whole}), .rd_valid(info_valid),
        .rd_ready(o_take), .rdata({n_pad_ok, n_pad_len, n_next, n_version, n_tos, n_total, n_sum, n_whole}), .level()
    );

    // ---- verdict ------------------------------------------------------------------------------------------
    // what comes into an empty queue is at its head in the next cycle
    wire o_soon = (tag_valid || tag_push) && (icv_valid || icv_push) && (info_valid || i_valid);
    wire x_valid, x_take, x_found, x_src_changed, x_no_ecn, x_dscp_decap, x_esn;
    wire [7:0] x_epoch;
    wire [TAGW-1:0] x_tag;
    wire [4:0] x_status;
    wire [LOG2_SA-1:0] x_slot;
    wire [15:0] x_gen, x_bytes;
    wire [63:0] x_seq;
    wire [7:0] x_tos;
    wire x_transport;
    wire [15:0] x_sum;
    wire [10:0] x_window;
    fifo #(.W(8 + TAGW + 5 + 1 + LOG2_SA + 16 + 64 + 1 + 8 + 3 + 11 + 16 + 1 + 16), .LOG2_D(6)) contexts (
        .clk(clk), .rst(rst), .wr_valid(v_valid), .wr_ready(),
        .wdata({v_epoch, v_tag, v_status, v_found, v_slot, v_gen, v_seq, v_src_changed, v_tos, v_no_ecn,
                v_dscp_decap, v_esn, v_window, v_bytes, v_transport, v_sum}),
        .rd_valid(x_valid), .rd_ready(x_take),
        .rdata({x_epoch, x_tag, x_status, x_found, x_slot, x_gen, x_seq, x_src_changed, x_tos, x_no_ecn,
                x_dscp_decap, x_esn, x_window, x_bytes, x_transport, x_sum}), .level()
    );

    wire c_req, c_grant, c_write_slot, c_write_word;
    wire [LOG2_SA-1:0] c_slot;
    wire [4:0] c_word;
    wire [116:0] c_word_data;
    wire [63:0] c_top, c_last_seq, c_packets, c_bytes, c_drops;
    wire [255:0] c_limits;

    wire w_valid, w_found, w_soft, w_src_changed, w_patch;
    wire [7:0] w_epoch;
    wire [TAGW-1:0] w_tag;
    wire [4:0] w_status;
    wire [LOG2_SA-1:0] w_slot;
    wire [15:0] w_gen, w_len, w_sum;
    wire w_transport;
    wire [7:0] w_next;
    /* verilator lint_off UNUSEDSIGNAL */ // no packet fills more than the store
    wire [15:0] w_beats;
    /* verilator lint_on UNUSEDSIGNAL */
    wire [63:0] w_seq;
    wire [7:0] w_tos;
    esp_rx_commit #(.LANES(LANES), .LOG2_SA(LOG2_SA), .TAGW(TAGW)) commit (
        .clk(clk), .rst(rst), .wipe(wipe), .epoch(epoch), .x_valid(x_valid), .x_take(x_take),
        .x_epoch(x_epoch),
        .x_tag(x_tag), .x_status(x_status), .x_found(x_found), .x_slot(x_slot), .x_gen(x_gen), .x_seq(x_seq),
        .x_src_changed(x_src_changed), .x_tos(x_tos), .x_no_ecn(x_no_ecn), .x_dscp_decap(x_dscp_decap),
        .x_esn(x_esn),
        .x_window(x_window), .x_bytes(x_bytes), .x_transport(x_transport), .x_sum(x_sum),
        .o_soon(o_soon), .o_take(o_take), .o_cut(o_cut), .o_icv_ok(tag == icv),
        .o_pad_ok(n_pad_ok),
        .o_pad_len(n_pad_len), .o_next(n_next), .o_version(n_version), .o_tos(n_tos), .o_total(n_total),
        .o_sum(n_sum), .o_whole(n_whole), .top_en(top_en), .top_addr(top_addr), .top_rdata(top_rdata), .win_en(win_en),
        .win_addr(win_addr), .win_rdata(win_rdata), .c_req(c_req), .c_grant(c_grant),
        .c_write_slot(c_write_slot),
        .c_write_word(c_write_word), .c_slot(c_slot), .c_word(c_word), .c_word_data(c_word_data),
        .c_top(c_top),
        .c_limits(c_limits), .c_last_seq(c_last_seq), .c_packets(c_packets), .c_bytes(c_bytes),
        .c_drops(c_drops),
        .e_valid(w_valid), .e_epoch(w_epoch), .e_tag(w_tag), .e_status(w_status), .e_found(w_found),
        .e_slot(w_slot), .e_gen(w_gen), .e_seq(w_seq), .e_soft(w_soft), .e_src_changed(w_src_changed),
        .e_len(w_len), .e_beats(w_beats), .e_patch(w_patch), .e_tos(w_tos), .e_sum(w_sum),
        .e_transport(w_transport), .e_next(w_next)
    );

    // ---- out ----------------------------------------------------------------------------------------------
    wire e_valid, e_take, e_found, e_soft, e_src_changed, e_single, e_patch;
    wire [7:0] e_epoch;
    wire [TAGW-1:0] e_tag;
    wire [4:0] e_status;
    wire [LOG2_SA-1:0] e_slot;
    wire [15:0] e_gen, e_len, e_sum;
    wire e_transport;
    wire [7:0] e_next;
    wire [LOG2_D:0] e_beats;
    wire [63:0] e_seq;
    wire [7:0] e_tos;
    // whether the packet fits into one beat is found before its turn
    localparam [31:0] BEAT_BYTES = 16 * LANES;
    wire w_single = w_len < BEAT_BYTES[15:0] + 16'd1;
    fifo #(.W(8 + TAGW + 5 + 1 + LOG2_SA + 16 + 64 + 2 + 16 + 1 + LOG2_D + 1 + 1 + 8 + 16 + 9), .LOG2_D(6)) verdicts (
        .clk(clk), .rst(rst), .wr_valid(w_valid), .wr_ready(),
        .wdata({w_epoch, w_tag, w_status, w_found, w_slot, w_gen, w_seq, w_soft, w_src_changed, w_len,
            w_single, w_beats[LOG2_D:0], w_patch, w_tos, w_sum, w_transport, w_next}),
        .rd_valid(e_valid), .rd_ready(e_take),
        .rdata({e_epoch, e_tag, e_status, e_found, e_slot, e_gen, e_seq, e_soft, e_src_changed, e_len,
            e_single, e_beats, e_patch, e_tos, e_sum, e_transport, e_next}), .level()
    );
    // what is kept of each packet's header in transport mode goes round the verdict
    wire [97:0] e_head;
    fifo #(.W(98), .LOG2_D(6)) heads (
        .clk(clk), .rst(rst), .wr_valid(v_valid), .wr_ready(), .wdata(v_head), .rd_valid(), .rd_ready(e_take), .rdata(e_head),
        .level()
    );
    /* verilator lint_on PINCONNECTEMPTY */

    esp_rx_egress #(.LANES(LANES), .LOG2_SA(LOG2_SA), .TAGW(TAGW), .LOG2_D(LOG2_D)) egress (
        .clk(clk), .rst(rst), .wipe(wipe), .epoch(epoch), .p_valid(o_valid && !wipe), .p_data(o_data),
        .e_valid(e_valid), .e_take(e_take), .e_epoch(e_epoch), .e_tag(e_tag), .e_status(e_status),
        .e_found(e_found), .e_slot(e_slot), .e_gen(e_gen), .e_seq(e_seq), .e_soft(e_soft),
        .e_src_changed(e_src_changed), .e_len(e_len), .e_single(e_single), .e_beats(e_beats), .e_patch(e_patch), .e_tos(e_tos),
        .e_sum(e_sum), .e_transport(e_transport), .e_next(e_next), .e_head(e_head), .free(free), .free_beats(free_beats),
        .m_valid(m_dec_tvalid), .m_ready(m_dec_tready), .m_data(m_dec_tdata), .m_keep(m_dec_tkeep),
        .m_last(m_dec_tlast), .m_tag(m_dec_tag), .m_status(m_dec_status), .m_seq(m_dec_seq), .m_sa(m_dec_sa),
        .m_gen(m_dec_gen), .m_len(m_dec_len), .m_soft(m_dec_soft), .m_src_changed(m_dec_src_changed)
    );
    assign dec_done = pkt_out;
    assign dec_done_status = m_dec_status;
    assign dec_done_len = m_dec_len;
    assign dec_beat = m_dec_tvalid && m_dec_tready;

    // ---- slots --------------------------------------------------------------------------------------------
    esp_rx_slot #(.LOG2_SA(LOG2_SA), .LOG2_B(LOG2_B), .WAY_W(WAY_W), .CFG_W(CFG_W)) slots (
        .clk(clk), .rst(rst), .zeroize(zeroize), .zeroized(zeroized), .wipe(wipe), .epoch(epoch),
        .slot_valid(slot_valid), .slot_ready(slot_ready), .slot_op(slot_op), .slot_index(slot_index),
        .slot_gen(slot_gen), .slot_blob(slot_blob), .seed_valid(seed_valid), .seed_index(seed_index),
        .seed_word(seed_word), .slot_done(slot_done), .slot_status(slot_status),
        .slot_last_seq(slot_last_seq),
        .slot_packets(slot_packets), .slot_bytes(slot_bytes), .slot_drops(slot_drops),
        .pkt_in(v_valid), .pkt_in_uses(v_found), .pkt_in_slot(v_slot),
        .pkt_out(pkt_out), .pkt_new(p_valid),
        .b_en(b_en), .b_we(b_we), .b_addr(b_addr), .b_wdata(b_wdata), .b_rdata(b_rdata), .cfg_we(cfg_we), .end_we(end_we),
        .cfg_addr(cfg_addr), .cfg_wdata(cfg_wdata), .salt_wdata(salt_wdata), .drain_we(drain_we),
        .drain_wdata(drain_wdata), .c_req(c_req), .c_grant(c_grant), .c_write_slot(c_write_slot),
        .c_write_word(c_write_word), .c_slot(c_slot),
        .c_word(c_word), .c_word_data(c_word_data), .c_top(c_top), .c_limits(c_limits),
        .c_last_seq(c_last_seq),
        .c_packets(c_packets), .c_bytes(c_bytes), .c_drops(c_drops),
        .key_valid(key_valid), .key_ready(key_ready), .key(key), .key_256(key_256), .key_done(key_done),
        .clr_valid(clr_valid), .clr_ready(clr_ready), .clr_done(clr_done), .gcm_zeroize(gcm_zeroize),
        .gcm_zeroized(gcm_zeroized)
    );
endmodule

`default_nettype wire
