// SPDX-License-Identifier: Apache-2.0
// The two ESP pipelines and their SA manager behind AXI-Stream ports: encapsulation (esp_tx), decapsulation (esp_rx) and
// SA commands (esp_sa). The ring engine drives these ports on the card, the workbench drives them directly (RFC 4303).
//
// Byte n of a packet is in tdata[8n+7:8n], n counted modulo KB = 16 * LANES. Every packet that enters leaves as exactly
// one packet, in order; a dropped one leaves as a single beat with tkeep = 0. s_*_tag, s_*_len, s_enc_sa and s_enc_gen are
// read on a packet's first beat; m_*_tag, _status, _seq, _sa, _gen, _len and the flags are valid on its tlast beat.
// A packet of another length than s_*_len ends as TRUNCATED, at the latest on its last beat, which is then empty.
// Contract: tkeep is contiguous and full but on the last beat; valid stays until ready. `zeroized` falls with `zeroize` (or rst) and rises when no slot is valid and all key memory is zero;
// packets then inside leave with status ABORTED. `busy` low: nothing but clk changes until an input does.
`default_nettype none

module esp_pipe #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // log2 of the SA slots in each direction
    parameter LOG2_SA = 10,
    // log2 of the places in each of the four ways of the inbound SPI table
    parameter LOG2_B = LOG2_SA + 1,
    // longest packet in bytes, in or out
    parameter MAX_LEN = 9216,
    // width of the opaque tag
    parameter TAGW = 16,
    parameter W = 128 * LANES,
    parameter KB = 16 * LANES
) (
    input  wire            clk,
    input  wire            rst,
    input  wire            zeroize,
    output wire            zeroized,
    output wire            busy,
    // FREERUN, to which deadlines refer
    input  wire [63:0]     now,

    // inner packets to encapsulate
    input  wire            s_enc_tvalid,
    output wire            s_enc_tready,
    input  wire [W-1:0]    s_enc_tdata,
    input  wire [KB-1:0]   s_enc_tkeep,
    input  wire            s_enc_tlast,
    input  wire [TAGW-1:0] s_enc_tag,
    input  wire [31:0]     s_enc_sa,
    input  wire [15:0]     s_enc_gen,
    input  wire [15:0]     s_enc_len,
    // outer packets
    output wire            m_enc_tvalid,
    input  wire            m_enc_tready,
    output wire [W-1:0]    m_enc_tdata,
    output wire [KB-1:0]   m_enc_tkeep,
    output wire            m_enc_tlast,
    output wire [TAGW-1:0] m_enc_tag,
    output wire [15:0]     m_enc_status,
    output wire [63:0]     m_enc_seq,
    output wire [31:0]     m_enc_sa,
    output wire [15:0]     m_enc_gen,
    output wire [15:0]     m_enc_len,
    output wire            m_enc_soft,
    output wire            m_enc_lease_low,

    // outer packets to decapsulate, from their IP header on
    input  wire            s_dec_tvalid,
    output wire            s_dec_tready,
    input  wire [W-1:0]    s_dec_tdata,
    input  wire [KB-1:0]   s_dec_tkeep,
    input  wire            s_dec_tlast,
    input  wire [TAGW-1:0] s_dec_tag,
    input  wire [15:0]     s_dec_len,
    // inner packets; m_dec_sa is all ones when no SA was found
    output wire            m_dec_tvalid,
    input  wire            m_dec_tready,
    output wire [W-1:0]    m_dec_tdata,
    output wire [KB-1:0]   m_dec_tkeep,
    output wire            m_dec_tlast,
    output wire [TAGW-1:0] m_dec_tag,
    output wire [15:0]     m_dec_status,
    output wire [63:0]     m_dec_seq,
    output wire [31:0]     m_dec_sa,
    output wire [15:0]     m_dec_gen,
    output wire [15:0]     m_dec_len,
    output wire            m_dec_soft,
    output wire            m_dec_src_changed,

    // SA commands: 8 words of the command, after ADD 64 words of the blob; tlast on the last word
    input  wire            s_sa_tvalid,
    output wire            s_sa_tready,
    input  wire [63:0]     s_sa_tdata,
    input  wire            s_sa_tlast,
    // 8 words of the result for each command; the status is valid with every word
    output wire            m_sa_tvalid,
    input  wire            m_sa_tready,
    output wire [63:0]     m_sa_tdata,
    output wire            m_sa_tlast,
    output wire [15:0]     m_sa_status,

    // one-cycle pulses for the counters
    output wire            enc_done,
    output wire [15:0]     enc_done_status,
    output wire [15:0]     enc_done_len,
    output wire            dec_done,
    output wire [15:0]     dec_done_status,
    output wire [15:0]     dec_done_len,
    output wire            enc_beat,
    output wire            dec_beat
);
    // A width out of range names a module that does not exist: no tool goes on.
    generate
        if (LANES != 1 && LANES != 2 && LANES != 4) begin : refused
            LANES_is_1_2_or_4 stop ();
        end
    endgenerate

    // slot ports: esp_sa asks, one operation at a time
    wire                 tx_slot_valid, tx_slot_ready, tx_slot_done;
    wire                 rx_slot_valid, rx_slot_ready, rx_slot_done;
    wire [2:0]           slot_op;
    wire [LOG2_SA-1:0]   slot_index;
    wire [15:0]          slot_gen;
    wire [8*256-1:0]     slot_blob;
    wire [63:0]          slot_limit, slot_deadline;
    wire [15:0]          tx_slot_status, rx_slot_status;
    wire [31:0]          tx_slot_refused, rx_slot_refused;
    wire [63:0]          tx_slot_last_seq, rx_slot_last_seq;
    wire [63:0]          tx_slot_packets, rx_slot_packets;
    wire [63:0]          tx_slot_bytes, rx_slot_bytes;
    wire [63:0]          tx_slot_drops, rx_slot_drops;
    wire                 seed_valid;
    wire [3:0]           seed_index;
    wire [63:0]          seed_word;

    wire sa_zeroize, sa_busy, tx_zeroized, rx_zeroized;
    wire wipe = zeroize || sa_zeroize;
    assign zeroized = tx_zeroized && rx_zeroized && !wipe;

    esp_sa #(.LOG2_SA(LOG2_SA)) sa (
        .clk(clk), .rst(rst), .wipe(wipe), .zeroize(sa_zeroize), .zeroized(zeroized), .busy(sa_busy),
        .s_tvalid(s_sa_tvalid), .s_tready(s_sa_tready), .s_tdata(s_sa_tdata), .s_tlast(s_sa_tlast),
        .m_tvalid(m_sa_tvalid), .m_tready(m_sa_tready), .m_tdata(m_sa_tdata), .m_tlast(m_sa_tlast),
        .m_status(m_sa_status),
        .tx_valid(tx_slot_valid), .tx_ready(tx_slot_ready), .tx_done(tx_slot_done), .tx_status(tx_slot_status),
        .tx_refused(tx_slot_refused), .tx_last_seq(tx_slot_last_seq), .tx_packets(tx_slot_packets),
        .tx_bytes(tx_slot_bytes), .tx_drops(tx_slot_drops),
        .rx_valid(rx_slot_valid), .rx_ready(rx_slot_ready), .rx_done(rx_slot_done), .rx_status(rx_slot_status),
        .rx_refused(rx_slot_refused), .rx_last_seq(rx_slot_last_seq), .rx_packets(rx_slot_packets),
        .rx_bytes(rx_slot_bytes), .rx_drops(rx_slot_drops),
        .slot_op(slot_op), .slot_index(slot_index), .slot_gen(slot_gen), .slot_blob(slot_blob),
        .slot_limit(slot_limit), .slot_deadline(slot_deadline), .seed_valid(seed_valid), .seed_index(seed_index),
        .seed_word(seed_word));

    esp_tx #(.LANES(LANES), .LOG2_SA(LOG2_SA), .MAX_LEN(MAX_LEN), .TAGW(TAGW)) tx (
        .clk(clk), .rst(rst), .zeroize(wipe), .zeroized(tx_zeroized),
        .s_enc_tvalid(s_enc_tvalid), .s_enc_tready(s_enc_tready), .s_enc_tdata(s_enc_tdata), .s_enc_tkeep(s_enc_tkeep),
        .s_enc_tlast(s_enc_tlast), .s_enc_tag(s_enc_tag), .s_enc_sa(s_enc_sa), .s_enc_gen(s_enc_gen),
        .s_enc_len(s_enc_len),
        .m_enc_tvalid(m_enc_tvalid), .m_enc_tready(m_enc_tready), .m_enc_tdata(m_enc_tdata), .m_enc_tkeep(m_enc_tkeep),
        .m_enc_tlast(m_enc_tlast), .m_enc_tag(m_enc_tag), .m_enc_status(m_enc_status), .m_enc_seq(m_enc_seq),
        .m_enc_sa(m_enc_sa), .m_enc_gen(m_enc_gen), .m_enc_len(m_enc_len), .m_enc_soft(m_enc_soft),
        .m_enc_lease_low(m_enc_lease_low),
        .enc_done(enc_done), .enc_done_status(enc_done_status), .enc_done_len(enc_done_len), .enc_beat(enc_beat),
        .slot_valid(tx_slot_valid), .slot_ready(tx_slot_ready), .slot_op(slot_op), .slot_index(slot_index),
        .slot_gen(slot_gen), .slot_blob(slot_blob), .slot_limit(slot_limit), .slot_deadline(slot_deadline), .now(now), .slot_done(tx_slot_done),
        .slot_status(tx_slot_status), .slot_refused(tx_slot_refused), .slot_last_seq(tx_slot_last_seq),
        .slot_packets(tx_slot_packets), .slot_bytes(tx_slot_bytes), .slot_drops(tx_slot_drops));

    esp_rx #(.LANES(LANES), .LOG2_SA(LOG2_SA), .LOG2_B(LOG2_B), .MAX_LEN(MAX_LEN), .TAGW(TAGW)) rx (
        .clk(clk), .rst(rst), .zeroize(wipe), .zeroized(rx_zeroized),
        .s_dec_tvalid(s_dec_tvalid), .s_dec_tready(s_dec_tready), .s_dec_tdata(s_dec_tdata), .s_dec_tkeep(s_dec_tkeep),
        .s_dec_tlast(s_dec_tlast), .s_dec_tag(s_dec_tag), .s_dec_len(s_dec_len),
        .m_dec_tvalid(m_dec_tvalid), .m_dec_tready(m_dec_tready), .m_dec_tdata(m_dec_tdata), .m_dec_tkeep(m_dec_tkeep),
        .m_dec_tlast(m_dec_tlast), .m_dec_tag(m_dec_tag), .m_dec_status(m_dec_status), .m_dec_seq(m_dec_seq),
        .m_dec_sa(m_dec_sa), .m_dec_gen(m_dec_gen), .m_dec_len(m_dec_len), .m_dec_soft(m_dec_soft),
        .m_dec_src_changed(m_dec_src_changed),
        .dec_done(dec_done), .dec_done_status(dec_done_status), .dec_done_len(dec_done_len), .dec_beat(dec_beat),
        .slot_valid(rx_slot_valid), .slot_ready(rx_slot_ready), .slot_op(slot_op), .slot_index(slot_index),
        .slot_gen(slot_gen), .slot_blob(slot_blob), .slot_limit(slot_limit), .seed_valid(seed_valid),
        .seed_index(seed_index), .seed_word(seed_word), .slot_done(rx_slot_done),
        .slot_status(rx_slot_status), .slot_refused(rx_slot_refused), .slot_last_seq(rx_slot_last_seq),
        .slot_packets(rx_slot_packets), .slot_bytes(rx_slot_bytes), .slot_drops(rx_slot_drops));

    // Packets inside: counted at their first beat in and their last beat out. The tail covers what a pipeline does in
    // the cycles after its last beat (counter pulses, credits).
    localparam CNT = 10;
    reg            enc_mid, dec_mid;
    reg  [CNT-1:0] enc_cnt, dec_cnt;
    reg  [5:0]     tail;
    wire enc_in  = s_enc_tvalid && s_enc_tready && !enc_mid;
    wire dec_in  = s_dec_tvalid && s_dec_tready && !dec_mid;
    wire enc_out = m_enc_tvalid && m_enc_tready && m_enc_tlast;
    wire dec_out = m_dec_tvalid && m_dec_tready && m_dec_tlast;
    wire active  = enc_cnt != 0 || dec_cnt != 0 || enc_mid || dec_mid || s_enc_tvalid || s_dec_tvalid || sa_busy
                   || s_sa_tvalid || m_sa_tvalid || !zeroized;
    assign busy = active || tail != 0;

    always @(posedge clk) begin
        if (s_enc_tvalid && s_enc_tready)
            enc_mid <= !s_enc_tlast;
        if (s_dec_tvalid && s_dec_tready)
            dec_mid <= !s_dec_tlast;
        if (enc_in != enc_out)
            enc_cnt <= enc_in ? enc_cnt + 1'b1 : enc_cnt - 1'b1;
        if (dec_in != dec_out)
            dec_cnt <= dec_in ? dec_cnt + 1'b1 : dec_cnt - 1'b1;
        if (active)
            tail <= 6'd63;
        else if (tail != 0)
            tail <= tail - 1'b1;
        if (rst) begin
            enc_mid <= 1'b0;
            dec_mid <= 1'b0;
            enc_cnt <= {CNT{1'b0}};
            dec_cnt <= {CNT{1'b0}};
            tail <= 6'd63;
        end
    end
endmodule

`default_nettype wire
