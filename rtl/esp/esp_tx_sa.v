// SPDX-License-Identifier: Apache-2.0
// Encapsulation, stage 2: SA look-up, sequence number, lease and limits (RFC 4303 section 3.3.3). Read (R), take what was read (T),
// look (A), decide (B), write (C). A packet is looked at while the one before it is written: where both are of one slot, it takes
// what is being written, and so it does of the one two before it, which was written when it was read; so one hot SA runs as fast as a
// thousand. Slot operations pass through the same stages and are thereby atomic with respect to packets.
// Block RAMs' outputs are late: they go into registers and nowhere else. Limits are read while a packet waits, a cycle before its
// state, so that what a packet of its length may find is known in A; none is accepted in the cycle in which it comes.
//
// In transport mode the packet keeps its own header's fields, and has to have the SA's ends (RFC 4301 section 4.4.2).
//
// Latency 4 cycles from acceptance to `out_valid`, a packet every 2 cycles (only payloads of up to 10 octets in transport mode
// make outer packets of less than 2 beats, of the widest bus). Contract: a packet is accepted only while `admit` is set, and two more may follow on `out` after it falls;
// its check word is there in the cycle after;
// `op_go` is a pulse given while op_ready, answered by `op_done` four cycles later; OP_CLEAR may come in every cycle while there
// are no packets, and another operation or packet four cycles after the last one; `now` may be some cycles late; a packet that is refused changes nothing but the slot's count of drops; a sequence number is given out once.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_tx_sa #(
    parameter LOG2_SA = 10,
    parameter TAGW = 16,
    parameter MAX_LEN = 9216
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               admit,
    // FREERUN
    input  wire [63:0]        now,

    // packets from the parser
    input  wire               meta_valid,
    output wire               meta_ready,
    input  wire [TAGW-1:0]    meta_tag,
    input  wire [31:0]        meta_sa,
    input  wire [15:0]        meta_gen,
    input  wire [15:0]        meta_len,
    input  wire [7:0]         meta_tos,
    input  wire               meta_df,
    input  wire [15:0]        meta_id,
    input  wire               meta_rsv,
    input  wire [7:0]         meta_ttl,
    input  wire [7:0]         meta_proto,
    input  wire [31:0]        meta_src,
    input  wire [31:0]        meta_dst,
    input  wire               meta_frag,
    // what its header is judged as, which is known later
    output wire               check_take,
    input  wire [15:0]        check_verdict,
    input  wire               check_odd,

    // packets with their SA's parameters, to the header builder
    output reg                out_valid,
    output reg  [TAGW-1:0]    out_tag,
    output reg  [31:0]        out_sa,
    output reg  [15:0]        out_gen,
    output reg  [15:0]        out_status,
    output reg  [63:0]        out_seq,
    output reg  [15:0]        out_id,
    output reg                out_soft,
    output reg                out_lease_low,
    // octets to encrypt, with padding and trailer, and of the outer packet
    output reg  [15:0]        out_len,
    output reg  [15:0]        out_ptlen,
    output reg  [15:0]        out_outlen,
    output reg  [7:0]         out_tos,
    output reg                out_df,
    output reg                out_udp,
    output reg                out_esn,
    output reg  [31:0]        out_spi,
    output reg  [31:0]        out_src,
    output reg  [31:0]        out_dst,
    output reg  [15:0]        out_sport,
    output reg  [15:0]        out_dport,
    output reg  [7:0]         out_ttl,
    // the flag that is reserved in IPv4, the ESP trailer's next header; the packet's own header goes (transport mode)
    output reg                out_rsv,
    output reg  [7:0]         out_next,
    output reg                out_cut,

    // slot operations on the state: read, init (valid from then on), lease (limit and deadline), renew (deadline alone), drain,
    // clear; a deadline of all ones is none
    output wire               op_ready,
    input  wire               op_go,
    input  wire [2:0]         op,
    input  wire [LOG2_SA-1:0] op_index,
    input  wire [15:0]        op_gen,
    input  wire [63:0]        op_seq,
    input  wire [63:0]        op_limit,
    input  wire [63:0]        op_deadline,
    output reg                op_done,
    output reg                op_valid,
    output reg                op_expired,
    output reg  [15:0]        op_cur_gen,
    output reg  [63:0]        op_next_seq,
    output reg  [63:0]        op_cur_limit,
    output reg  [63:0]        op_packets,
    output reg  [63:0]        op_bytes,
    output reg  [63:0]        op_drops,

    // slot configuration, written from the blob (or zeros) while the slot is invalid
    input  wire               cfg_wen,
    // ... the SA's ends, also while it is valid
    input  wire               end_wen,
    input  wire               cfg_zero,
    input  wire [LOG2_SA-1:0] cfg_index,
    /* verilator lint_off UNUSED */ // the blob's other fields are read elsewhere or mean nothing outbound
    input  wire [8*256-1:0]   cfg_blob
    /* verilator lint_on UNUSED */
);
    localparam [2:0] OP_READ = 3'd0, OP_INIT = 3'd1, OP_LEASE = 3'd2, OP_DRAIN = 3'd3, OP_RENEW = 3'd5;
    localparam ST_W = 18 + 7 * 64;
    localparam LI_W = 32 + 4 * 64;
    localparam CF_W = 5 + 16 + 8;
    localparam END_W = 1 + 2 * 32 + 2 * 16;
    localparam [16:0] LEN_MAX = (MAX_LEN > 65535) ? 17'd65535 : MAX_LEN[16:0];

    // ---- R: an operation goes before a packet --------------------------------------------------------------------------
    reg               t_pkt, t_op, a_pkt, a_op, b_pkt, b_op, c;
    // the packet stood here in the cycle before, so its limits have been read
    reg               stood;
    assign op_ready = !t_pkt;
    assign meta_ready = admit && stood && !op_go && !t_pkt && !t_op;
    assign check_take = t_pkt;
    wire take = meta_valid && meta_ready;
    wire in_range;
    generate
        if (LOG2_SA < 32) begin : range
            assign in_range = meta_sa[31:LOG2_SA] == 0;
        end else begin : all
            assign in_range = 1'b1;
        end
    endgenerate
    // RFC 4303 section 2.4: pad to 4 octets with pad length and next header; in transport mode without the IP header
    wire [16:0]       meta_tunnel = ({1'b0, meta_len} + 17'd5) & ~17'd3;
    wire [16:0]       meta_transport = ({1'b0, meta_len} - 17'd15) & ~17'd3;

    reg               t_range, t_df, t_rsv, t_frag;
    reg [2:0]         t_code;
    reg [LOG2_SA-1:0] t_index;
    reg [TAGW-1:0]    t_tag;
    reg [31:0]        t_sa, t_src, t_dst, t_spi;
    reg [15:0]        t_gen, t_len, t_id;
    reg [7:0]         t_tos, t_ttl, t_proto;
    reg [16:0]        t_tunnel, t_transport;
    reg [63:0]        t_soft_bytes, t_hard_bytes, t_soft_packets, t_hard_packets;
    wire [LOG2_SA-1:0] index = op_go ? op_index : meta_sa[LOG2_SA-1:0];
    wire [LI_W-1:0]   limits;

    always @(posedge clk) begin
        stood <= meta_valid && !take && !rst;
        t_pkt <= take && !rst;
        t_op <= op_go && !rst;
        if (take || op_go) begin
            t_index <= index;
            t_code <= op;
        end
        if (take) begin
            {t_range, t_tag, t_sa, t_gen, t_len} <= {in_range, meta_tag, meta_sa, meta_gen, meta_len};
            {t_tos, t_df, t_rsv, t_frag, t_id} <= {meta_tos, meta_df, meta_rsv, meta_frag, meta_id};
            {t_ttl, t_proto, t_src, t_dst} <= {meta_ttl, meta_proto, meta_src, meta_dst};
            {t_tunnel, t_transport} <= {meta_tunnel, meta_transport};
            {t_spi, t_soft_bytes, t_hard_bytes, t_soft_packets, t_hard_packets} <= limits;
        end
    end

    // ---- memories ----------------------------------------------------------------------------------------------------
    // Limits are kept as they are compared with: one less than given, but for the hard one of bytes; all ones where there is none.
    wire [63:0] hard_bytes = cfg_blob[`ESPC_SA_BLOB_HARD_BYTES_LSB +: 64];
    wire [LI_W-1:0] limits_new = cfg_zero ? {LI_W{1'b0}} : {
        cfg_blob[`ESPC_SA_BLOB_SPI_LSB +: 32],
        cfg_blob[`ESPC_SA_BLOB_SOFT_BYTES_LSB +: 64] - 64'd1, (hard_bytes == 64'd0) ? {64{1'b1}} : hard_bytes,
        cfg_blob[`ESPC_SA_BLOB_SOFT_PACKETS_LSB +: 64] - 64'd1, cfg_blob[`ESPC_SA_BLOB_HARD_PACKETS_LSB +: 64] - 64'd1};
    ram_sdp #(.W(LI_W), .LOG2_D(LOG2_SA)) limit_ram (
        .clk(clk), .wen(cfg_wen), .waddr(cfg_index), .wdata(limits_new), .ren(meta_valid),
        .raddr(meta_sa[LOG2_SA-1:0]), .rdata(limits));

    wire [CF_W-1:0] cfg_new = cfg_zero ? {CF_W{1'b0}} : {
        cfg_blob[`ESPC_SA_BLOB_MODE_LSB +: 8] == `ESPC_SA_MODE_TRANSPORT,
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_ESN_LSB],
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_DF_CLEAR_LSB],
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_LSB],
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_NO_ECN_LSB],
        cfg_blob[`ESPC_SA_BLOB_ID_OFFSET_LSB +: 16], cfg_blob[`ESPC_SA_BLOB_TTL_LSB +: 8]};
    wire [CF_W-1:0] cfg;
    ram_sdp #(.W(CF_W), .LOG2_D(LOG2_SA)) cfg_ram (
        .clk(clk), .wen(cfg_wen), .waddr(cfg_index), .wdata(cfg_new), .ren(take),
        .raddr(meta_sa[LOG2_SA-1:0]), .rdata(cfg));

    wire [END_W-1:0] ends_new = cfg_zero ? {END_W{1'b0}} : {
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_UDP_ENCAP_LSB],
        cfg_blob[`ESPC_SA_BLOB_SRC_LSB +: 32], cfg_blob[`ESPC_SA_BLOB_DST_LSB +: 32],
        cfg_blob[`ESPC_SA_BLOB_SPORT_LSB +: 16], cfg_blob[`ESPC_SA_BLOB_DPORT_LSB +: 16]};
    wire [END_W-1:0] ends;
    ram_sdp #(.W(END_W), .LOG2_D(LOG2_SA)) end_ram (
        .clk(clk), .wen(end_wen), .waddr(cfg_index), .wdata(ends_new), .ren(take),
        .raddr(meta_sa[LOG2_SA-1:0]), .rdata(ends));

    // what is being written, and stays here for a cycle more
    reg  [LOG2_SA-1:0] a_index, b_index, c_index;
    reg  [2:0]      a_code, b_code;
    reg  [ST_W-1:0] c_state;
    wire            b_write = b_pkt || (b_op && b_code != OP_READ);
    wire [ST_W-1:0] st_ram;
    ram_sdp #(.W(ST_W), .LOG2_D(LOG2_SA)) st_mem (
        .clk(clk), .wen(c), .waddr(c_index), .wdata(c_state), .ren(take || op_go), .raddr(index), .rdata(st_ram));

    // ---- T: the state as it was read, and as one before the last leaves it, where that was written as the word was read or after
    reg             t_again, a_again, a_next;
    reg [ST_W-1:0]  a_state, a_state_again;
    reg             a_range, a_df, a_rsv, a_odd, a_frag, a_refused;
    reg [TAGW-1:0]  a_tag;
    reg [31:0]      a_sa;
    reg [15:0]      a_gen, a_len, a_verdict, a_id, a_payload;
    reg [7:0]       a_tos, a_ttl, a_proto;
    reg [31:0]      a_src, a_dst;
    reg [16:0]      a_tunnel, a_transport;
    // too long for tunnel mode, without UDP and in it, and for transport mode, likewise
    reg             a_long, a_long_udp, a_far, a_far_udp;
    // limits; how many bytes there may be before this packet, or that there may be no such packet
    reg [63:0]      soft_packets, hard_packets, soft_bytes, soft_room, hard_room;
    reg             soft_none, hard_none;
    reg             c_transport, c_esn, c_udp, c_df_clear, c_no_dscp, c_no_ecn;
    reg [31:0]      c_spi, c_src, c_dst;
    reg [15:0]      c_sport, c_dport, c_id_offset;
    reg [7:0]       c_ttl;

    always @(posedge clk) begin
        // being written now, or in the next cycle
        t_again <= (c && c_index == index) || (b_write && b_index == index);
        // will be written while this one is in A
        a_next <= b_write && b_index == t_index;
        a_pkt <= t_pkt && !rst;
        a_op <= t_op && !rst;
        if (t_pkt || t_op) begin
            {a_index, a_code, a_again} <= {t_index, t_code, t_again};
            a_state <= st_ram;
            a_state_again <= c_state;
        end
        if (t_pkt) begin
            {a_range, a_tag, a_sa, a_gen, a_len} <= {t_range, t_tag, t_sa, t_gen, t_len};
            {a_tos, a_df, a_rsv, a_frag, a_id} <= {t_tos, t_df, t_rsv, t_frag, t_id};
            {a_ttl, a_proto, a_src, a_dst} <= {t_ttl, t_proto, t_src, t_dst};
            {a_tunnel, a_transport} <= {t_tunnel, t_transport};
            {a_odd, a_verdict, a_refused} <= {check_odd, check_verdict, check_verdict != `ESPC_STATUS_OK};
            a_payload <= t_len - 16'd20;
            a_long <= t_tunnel > LEN_MAX - 17'd52;
            a_long_udp <= t_tunnel > LEN_MAX - 17'd60;
            a_far <= t_transport > LEN_MAX - 17'd52;
            a_far_udp <= t_transport > LEN_MAX - 17'd60;
            {soft_bytes, soft_packets, hard_packets, c_spi} <= {t_soft_bytes, t_soft_packets, t_hard_packets, t_spi};
            {soft_none, soft_room} <= {1'b0, t_soft_bytes} - {49'd0, t_len};
            {hard_none, hard_room} <= {1'b0, t_hard_bytes} - {49'd0, t_len};
            {c_transport, c_esn, c_df_clear, c_no_dscp, c_no_ecn, c_id_offset, c_ttl} <= cfg;
            {c_udp, c_src, c_dst, c_sport, c_dport} <= ends;
        end
    end

    // ---- A: the state as the ones before leave it, and every comparison by itself -------------------------------------
    wire            valid, draining;
    wire [15:0]     gen;
    wire [63:0]     next_seq, limit, low_at, deadline, packets, bytes, drops;
    assign {valid, draining, gen, next_seq, limit, low_at, deadline, packets, bytes, drops} =
        a_next ? c_state : a_again ? a_state_again : a_state;

    // a >= b as the borrow of a - b: mapped as written it would be a borrow or a test for equality behind it
    wire expired_not, ended_not, low, low_not, packets_over, packets_above, packets_short, hard_over, soft_over, soft_above;
    /* verilator lint_off UNUSED */ // only their borrows are of use
    wire [63:0] now_left, limit_left, low_left, low_past, hard_packets_left, soft_packets_left, soft_packets_past;
    wire [63:0] hard_left, soft_left, soft_now_left;
    /* verilator lint_on UNUSED */
    assign {expired_not, now_left} = {1'b0, now} - {1'b0, deadline};
    assign {ended_not, limit_left} = {1'b0, next_seq} - {1'b0, limit};
    assign {low, low_left} = {1'b0, low_at} - {1'b0, next_seq};
    assign {low_not, low_past} = {1'b0, next_seq} - {1'b0, low_at};
    assign {packets_over, hard_packets_left} = {1'b0, hard_packets} - {1'b0, packets};
    assign {packets_above, soft_packets_left} = {1'b0, soft_packets} - {1'b0, packets};
    assign {packets_short, soft_packets_past} = {1'b0, packets} - {1'b0, soft_packets};
    assign {hard_over, hard_left} = {1'b0, hard_room} - {1'b0, bytes};
    assign {soft_over, soft_left} = {1'b0, soft_room} - {1'b0, bytes};
    assign {soft_above, soft_now_left} = {1'b0, soft_bytes} - {1'b0, bytes};

    wire [16:0] ptlen = c_transport ? a_transport : a_tunnel;
    /* verilator lint_off UNUSED */ // one that is too long is refused
    wire [16:0] outlen = ptlen + (c_udp ? 17'd60 : 17'd52);
    /* verilator lint_on UNUSED */
    wire        df = a_df && (c_transport || !c_df_clear);
    wire [15:0] id_new = df ? 16'd0 : next_seq[15:0] + c_id_offset;
    // the lease is low once fewer than a quarter of it is left; all ones is no lease at all
    wire [63:0] lease_from = (a_code == OP_INIT) ? op_seq : next_seq;
    /* verilator lint_off UNUSED */ // a quarter of it is wanted
    wire [63:0] lease = op_limit - lease_from;
    /* verilator lint_on UNUSED */

    reg             b_valid, b_draining, b_there, b_other, b_clean, b_esn, b_udp, b_df, b_long, b_wraps, b_ended, b_expired;
    reg             b_transport, b_stranger, b_rsv;
    reg             b_low, b_low_more, b_packets_over, b_hard_none, b_hard_over, b_packets_above, b_soft_above, b_soft_reached, b_soft_none, b_soft_over;
    reg [15:0]      b_gen, b_id, b_asked, b_verdict, b_text, b_ptlen, b_outlen;
    reg [63:0]      b_seq, b_seq_more, b_limit, b_low_at, b_deadline, b_packets, b_packets_more, b_bytes, b_bytes_more, b_drops;
    reg [63:0]      b_drops_more;
    reg [61:0]      b_quarter;
    reg [TAGW-1:0]  b_tag;
    reg [31:0]      b_sa, b_spi, b_src, b_dst;
    reg [15:0]      b_sport, b_dport;
    reg [7:0]       b_tos, b_ttl, b_next;

    always @(posedge clk) begin
        b_pkt <= a_pkt && !rst;
        b_op <= a_op && !rst;
        if (a_pkt || a_op) begin
            b_index <= a_index;
            b_code <= a_code;
            b_valid <= valid;
            b_draining <= draining;
            b_gen <= gen;
            b_seq <= next_seq;
            b_limit <= limit;
            b_low_at <= low_at;
            b_deadline <= deadline;
            b_expired <= !expired_not;
            b_packets <= packets;
            b_bytes <= bytes;
            b_drops <= drops;
            b_quarter <= lease[63:2];
        end
        if (a_pkt) begin
            b_there <= a_range && valid;
            b_other <= gen != a_gen;
            b_asked <= a_gen;
            b_clean <= !a_refused && !(c_transport && (a_odd || a_frag));
            b_verdict <= a_refused ? a_verdict : a_odd ? `ESPC_STATUS_BAD_IP : `ESPC_STATUS_FRAGMENT;
            b_transport <= c_transport;
            // a packet of others than the SA's ends
            b_stranger <= c_transport && (a_src != c_src || a_dst != c_dst);
            b_rsv <= c_transport && a_rsv;
            b_next <= c_transport ? a_proto : 8'd4;
            b_esn <= c_esn;
            b_udp <= c_udp;
            b_df <= df;
            b_long <= c_transport ? (c_udp ? a_far_udp : a_far) : (c_udp ? a_long_udp : a_long);
            b_wraps <= !c_esn && next_seq[63:32] != 0;
            b_ended <= !ended_not;
            b_low <= low;
            b_low_more <= !low_not;
            {b_packets_over, b_hard_none, b_hard_over} <= {packets_over, hard_none, hard_over};
            {b_packets_above, b_soft_above} <= {packets_above, soft_above};
            {b_soft_reached, b_soft_none, b_soft_over} <= {!packets_short, soft_none, soft_over};
            b_seq_more <= next_seq + 64'd1;
            b_packets_more <= packets + 64'd1;
            b_bytes_more <= bytes + {48'd0, a_len};
            b_drops_more <= drops + 64'd1;
            b_id <= c_transport ? a_id : id_new;
            b_text <= c_transport ? a_payload : a_len;
            b_ptlen <= ptlen[15:0];
            b_outlen <= outlen[15:0];
            b_tag <= a_tag;
            b_sa <= a_sa;
            b_tos <= {(c_no_dscp && !c_transport) ? 6'd0 : a_tos[7:2], (c_no_ecn && !c_transport) ? 2'd0 : a_tos[1:0]};
            b_spi <= c_spi;
            b_src <= c_src;
            b_dst <= c_dst;
            b_sport <= c_sport;
            b_dport <= c_dport;
            b_ttl <= c_transport ? a_ttl : c_ttl;
        end
    end

    // ---- B: verdict and new state ---------------------------------------------------------------------------------------
    wire        mine = b_there && !b_other;
    // one more is too much; has been reached; will be with this one
    wire        hard = b_packets_over || b_hard_none || b_hard_over;
    wire        soft_now = b_packets_above || b_soft_above;
    wire        soft_more = b_soft_reached || b_soft_none || b_soft_over;
    wire        good = mine && b_clean && !b_draining && !b_expired && !b_stranger && !b_long && !hard && !b_wraps && !b_ended;
    reg [15:0]  verdict;
    always @* begin
        if (!b_there)
            verdict = `ESPC_STATUS_SA_INVALID;
        else if (b_other)
            verdict = `ESPC_STATUS_SA_STALE_GEN;
        else if (b_draining)
            verdict = `ESPC_STATUS_SA_DRAINING;
        else if (b_expired)
            verdict = `ESPC_STATUS_LEASE_EXPIRED;
        else if (!b_clean)
            verdict = b_verdict;
        else if (b_stranger)
            verdict = `ESPC_STATUS_SA_MISMATCH;
        else if (b_long)
            verdict = `ESPC_STATUS_TOO_LONG;
        else if (hard)
            verdict = `ESPC_STATUS_HARD_LIMIT;
        else if (b_wraps)
            verdict = `ESPC_STATUS_SEQ_OVERFLOW;
        else
            verdict = b_ended ? `ESPC_STATUS_LEASE_END : `ESPC_STATUS_OK;
    end

    wire [63:0] lease_low_at = (&op_limit) ? op_limit : op_limit - {2'd0, b_quarter};
    reg [ST_W-1:0] st_op;
    always @* begin
        case (b_code)
            OP_INIT:  st_op = {1'b1, 1'b0, op_gen, op_seq, op_limit, lease_low_at, op_deadline, 64'd0, 64'd0, 64'd0};
            OP_LEASE: st_op = {b_valid, b_draining, b_gen, b_seq, op_limit, lease_low_at, op_deadline, b_packets,
                               b_bytes, b_drops};
            OP_RENEW: st_op = {b_valid, b_draining, b_gen, b_seq, b_limit, b_low_at, op_deadline, b_packets, b_bytes,
                               b_drops};
            OP_DRAIN: st_op = {b_valid, 1'b1, b_gen, b_seq, b_limit, b_low_at, b_deadline, b_packets, b_bytes,
                               b_drops};
            default:  st_op = {ST_W{1'b0}};
        endcase
    end

    always @(posedge clk) begin
        c <= !rst && b_write;
        if (b_pkt || b_op) begin
            c_index <= b_index;
            c_state <= b_op ? st_op : {b_valid, b_draining, b_gen, good ? b_seq_more : b_seq, b_limit, b_low_at,
                                       b_deadline, good ? b_packets_more : b_packets, good ? b_bytes_more : b_bytes,
                                       (mine && !good) ? b_drops_more : b_drops};
        end
        out_valid <= b_pkt && !rst;
        if (b_pkt) begin
            out_tag <= b_tag;
            out_sa <= b_sa;
            out_gen <= b_asked;
            out_status <= verdict;
            out_seq <= good ? b_seq : 64'd0;
            out_id <= b_id;
            out_soft <= mine && (good ? soft_more : soft_now);
            out_lease_low <= mine && (good ? b_low_more : b_low);
            out_len <= b_text;
            out_ptlen <= b_ptlen;
            out_outlen <= good ? b_outlen : 16'd0;
            out_tos <= b_tos;
            out_df <= b_df;
            out_udp <= b_udp;
            out_esn <= b_esn;
            out_spi <= b_spi;
            out_src <= b_src;
            out_dst <= b_dst;
            out_sport <= b_sport;
            out_dport <= b_dport;
            out_ttl <= b_ttl;
            out_rsv <= b_rsv;
            out_next <= b_next;
            out_cut <= b_transport && good;
        end
        op_done <= b_op && !rst;
        if (b_op) begin
            op_valid <= b_valid;
            op_expired <= b_expired;
            op_cur_gen <= b_gen;
            op_next_seq <= b_seq;
            op_cur_limit <= b_limit;
            op_packets <= b_packets;
            op_bytes <= b_bytes;
            op_drops <= b_drops;
        end
    end
endmodule

`default_nettype wire
