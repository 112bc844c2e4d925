// SPDX-License-Identifier: Apache-2.0
// Encapsulation, stage 2: SA look-up, sequence number, lease and limits (RFC 4303 section 3.3.3). One read-modify-write
// of the slot's state in each cycle, with a bypass, so that one hot SA runs as fast as a thousand. Slot operations pass
// through the same two stages as one-cycle guests and are thereby atomic with respect to packets.
//
// Latency 2 cycles from acceptance to `out_valid`, initiation interval 1. Contract: a packet is accepted only while
// `admit` is set, and two more may follow on `out` after it falls; `op_go` is a pulse, answered by `op_done` two cycles
// later; a packet that is refused changes nothing but the slot's count of drops; a sequence number is given out once.
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

    // packets from the parser
    input  wire               meta_valid,
    output wire               meta_ready,
    input  wire [TAGW-1:0]    meta_tag,
    input  wire [31:0]        meta_sa,
    input  wire [15:0]        meta_gen,
    input  wire [15:0]        meta_len,
    input  wire [15:0]        meta_verdict,
    input  wire [7:0]         meta_tos,
    input  wire               meta_df,

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
    // inner length, plaintext length (padded) and outer length
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

    // slot operations on the state: read, init (valid from then on), lease, drain, clear
    input  wire               op_go,
    input  wire [2:0]         op,
    input  wire [LOG2_SA-1:0] op_index,
    input  wire [15:0]        op_gen,
    input  wire [63:0]        op_seq,
    input  wire [63:0]        op_limit,
    output reg                op_done,
    output reg                op_valid,
    output reg  [15:0]        op_cur_gen,
    output reg  [63:0]        op_next_seq,
    output reg  [63:0]        op_cur_limit,
    output reg  [63:0]        op_packets,
    output reg  [63:0]        op_bytes,
    output reg  [63:0]        op_drops,

    // slot configuration, written from the blob (or zeros) while the slot is invalid
    input  wire               cfg_wen,
    input  wire               cfg_zero,
    input  wire [LOG2_SA-1:0] cfg_index,
    /* verilator lint_off UNUSED */ // the blob's other fields are read elsewhere or mean nothing outbound
    input  wire [8*256-1:0]   cfg_blob
    /* verilator lint_on UNUSED */
);
    localparam [2:0] OP_INIT = 3'd1, OP_LEASE = 3'd2, OP_DRAIN = 3'd3, OP_CLEAR = 3'd4;
    localparam ST_W = 18 + 6 * 64 + 16;
    localparam CF_W = 5 + 3 * 32 + 2 * 16 + 8 + 4 * 64;
    localparam [16:0] LEN_MAX = (MAX_LEN > 65535) ? 17'd65535 : MAX_LEN[16:0];

    // ---- stage 0: an operation goes before a packet ---------------------------------------------------------------
    assign meta_ready = admit && !op_go;
    wire take = meta_valid && meta_ready;
    wire in_range;
    generate
        if (LOG2_SA < 32) begin : range
            assign in_range = meta_sa[31:LOG2_SA] == 0;
        end else begin : all
            assign in_range = 1'b1;
        end
    endgenerate

    reg               s1_pkt, s1_op, s1_range, s1_df;
    reg [2:0]         s1_code;
    reg [LOG2_SA-1:0] s1_index;
    reg [TAGW-1:0]    s1_tag;
    reg [31:0]        s1_sa;
    reg [15:0]        s1_gen, s1_len, s1_verdict;
    reg [7:0]         s1_tos;
    wire [LOG2_SA-1:0] s0_index = op_go ? op_index : meta_sa[LOG2_SA-1:0];

    always @(posedge clk) begin
        s1_pkt <= take && !rst;
        s1_op <= op_go && !rst;
        if (take || op_go) begin
            s1_index <= s0_index;
            s1_code <= op;
        end
        if (take) begin
            s1_range <= in_range;
            s1_tag <= meta_tag;
            s1_sa <= meta_sa;
            s1_gen <= meta_gen;
            s1_len <= meta_len;
            s1_verdict <= meta_verdict;
            s1_tos <= meta_tos;
            s1_df <= meta_df;
        end
    end

    // ---- memories ----------------------------------------------------------------------------------------------------
    wire [CF_W-1:0] cfg_new = cfg_zero ? {CF_W{1'b0}} : {
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_ESN_LSB],
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_UDP_ENCAP_LSB],
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_DF_CLEAR_LSB],
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_LSB],
        cfg_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_NO_ECN_LSB],
        cfg_blob[`ESPC_SA_BLOB_SPI_LSB +: 32],
        cfg_blob[`ESPC_SA_BLOB_SRC_LSB +: 32], cfg_blob[`ESPC_SA_BLOB_DST_LSB +: 32],
        cfg_blob[`ESPC_SA_BLOB_SPORT_LSB +: 16], cfg_blob[`ESPC_SA_BLOB_DPORT_LSB +: 16],
        cfg_blob[`ESPC_SA_BLOB_TTL_LSB +: 8],
        cfg_blob[`ESPC_SA_BLOB_SOFT_BYTES_LSB +: 64], cfg_blob[`ESPC_SA_BLOB_HARD_BYTES_LSB +: 64],
        cfg_blob[`ESPC_SA_BLOB_SOFT_PACKETS_LSB +: 64], cfg_blob[`ESPC_SA_BLOB_HARD_PACKETS_LSB +: 64]};
    wire [CF_W-1:0] cfg;
    ram_sdp #(.W(CF_W), .LOG2_D(LOG2_SA)) cfg_ram (
        .clk(clk), .wen(cfg_wen), .waddr(cfg_index), .wdata(cfg_new), .ren(take),
        .raddr(meta_sa[LOG2_SA-1:0]), .rdata(cfg));

    wire            c_esn, c_udp, c_df_clear, c_no_dscp, c_no_ecn;
    wire [31:0]     c_spi, c_src, c_dst;
    wire [15:0]     c_sport, c_dport;
    wire [7:0]      c_ttl;
    wire [63:0]     c_soft_bytes, c_hard_bytes, c_soft_packets, c_hard_packets;
    assign {c_esn, c_udp, c_df_clear, c_no_dscp, c_no_ecn, c_spi, c_src, c_dst, c_sport, c_dport, c_ttl,
            c_soft_bytes, c_hard_bytes, c_soft_packets, c_hard_packets} = cfg;

    wire [ST_W-1:0] st_ram, st_new;
    reg  [ST_W-1:0] st_last;
    reg             st_last_hit;
    wire            st_wen = s1_pkt || (s1_op && s1_code != 3'd0);
    ram_sdp #(.W(ST_W), .LOG2_D(LOG2_SA)) st_mem (
        .clk(clk), .wen(st_wen), .waddr(s1_index), .wdata(st_new), .ren(take || op_go),
        .raddr(s0_index), .rdata(st_ram));
    // bypass: the word read was being written in the same cycle
    always @(posedge clk) begin
        st_last_hit <= st_wen && s0_index == s1_index;
        if (st_wen)
            st_last <= st_new;
    end

    // ---- stage 1: verdict and new state --------------------------------------------------------------------------------
    wire            valid, draining;
    wire [15:0]     gen, id;
    wire [63:0]     next_seq, limit, low_at, packets, bytes, drops;
    assign {valid, draining, gen, next_seq, limit, low_at, packets, bytes, drops, id} =
        st_last_hit ? st_last : st_ram;

    // RFC 4303 section 2.4: pad to 4 octets with pad length and next header
    wire [16:0] ptlen = ({1'b0, s1_len} + 17'd5) & ~17'd3;
    wire [16:0] outlen = ptlen + (c_udp ? 17'd60 : 17'd52);
    wire        mine = s1_range && valid && gen == s1_gen;
    wire [63:0] bytes_sum = bytes + {48'd0, s1_len};
    wire        hard = (c_hard_packets != 0 && packets >= c_hard_packets)
                       || (c_hard_bytes != 0 && (bytes_sum > c_hard_bytes || bytes_sum < bytes));
    reg [15:0]  verdict;
    always @* begin
        if (!s1_range || !valid)
            verdict = `ESPC_STATUS_SA_INVALID;
        else if (gen != s1_gen)
            verdict = `ESPC_STATUS_SA_STALE_GEN;
        else if (draining)
            verdict = `ESPC_STATUS_SA_DRAINING;
        else if (s1_verdict != `ESPC_STATUS_OK)
            verdict = s1_verdict;
        else if (outlen > LEN_MAX)
            verdict = `ESPC_STATUS_TOO_LONG;
        else if (hard)
            verdict = `ESPC_STATUS_HARD_LIMIT;
        else if (!c_esn && next_seq[63:32] != 0)
            verdict = `ESPC_STATUS_SEQ_OVERFLOW;
        else if (next_seq >= limit)
            verdict = `ESPC_STATUS_LEASE_END;
        else
            verdict = `ESPC_STATUS_OK;
    end
    wire        good = verdict == `ESPC_STATUS_OK;
    wire        df = s1_df && !c_df_clear;
    wire [63:0] seq_after = good ? next_seq + 64'd1 : next_seq;
    wire [63:0] packets_after = good ? packets + 64'd1 : packets;
    wire [63:0] bytes_after = good ? bytes_sum : bytes;
    wire [15:0] id_after = (good && !df) ? id + 16'd1 : id;
    wire [63:0] drops_after = (mine && !good) ? drops + 64'd1 : drops;
    wire        soft_now = (c_soft_packets != 0 && packets_after >= c_soft_packets)
                       || (c_soft_bytes != 0 && bytes_after >= c_soft_bytes);

    // the lease is low once fewer than a quarter of it is left; all ones is no lease at all
    wire [63:0] lease_from = (s1_code == OP_INIT) ? op_seq : next_seq;
    wire [63:0] lease_quarter = (op_limit - lease_from) >> 2;
    wire [63:0] lease_low_at = &op_limit ? op_limit : op_limit - lease_quarter;
    reg [ST_W-1:0] st_op;
    always @* begin
        case (s1_code)
            OP_INIT:  st_op = {1'b1, 1'b0, op_gen, op_seq, op_limit, lease_low_at, 64'd0, 64'd0, 64'd0,
                               16'd1};
            OP_LEASE: st_op = {valid, draining, gen, next_seq, op_limit, lease_low_at, packets, bytes,
                               drops, id};
            OP_DRAIN: st_op = {valid, 1'b1, gen, next_seq, limit, low_at, packets, bytes, drops, id};
            OP_CLEAR: st_op = {ST_W{1'b0}};
            default:  st_op = {valid, draining, gen, next_seq, limit, low_at, packets, bytes, drops, id};
        endcase
    end
    assign st_new = s1_op ? st_op : {valid, draining, gen, seq_after, limit, low_at, packets_after, bytes_after,
                                     drops_after, id_after};

    always @(posedge clk) begin
        out_valid <= s1_pkt && !rst;
        if (s1_pkt) begin
            out_tag <= s1_tag;
            out_sa <= s1_sa;
            out_gen <= s1_gen;
            out_status <= verdict;
            out_seq <= good ? next_seq : 64'd0;
            out_id <= df ? 16'd0 : id;
            out_soft <= mine && soft_now;
            out_lease_low <= mine && seq_after > low_at;
            out_len <= s1_len;
            out_ptlen <= ptlen[15:0];
            out_outlen <= good ? outlen[15:0] : 16'd0;
            out_tos <= {c_no_dscp ? 6'd0 : s1_tos[7:2], c_no_ecn ? 2'd0 : s1_tos[1:0]};
            out_df <= df;
            out_udp <= c_udp;
            out_esn <= c_esn;
            out_spi <= c_spi;
            out_src <= c_src;
            out_dst <= c_dst;
            out_sport <= c_sport;
            out_dport <= c_dport;
            out_ttl <= c_ttl;
        end
        op_done <= s1_op && !rst;
        if (s1_op) begin
            op_valid <= valid;
            op_cur_gen <= gen;
            op_next_seq <= next_seq;
            op_cur_limit <= limit;
            op_packets <= packets;
            op_bytes <= bytes;
            op_drops <= drops;
        end
    end
endmodule

`default_nettype wire
