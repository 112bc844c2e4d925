// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 2: finds the SA by SPI and destination in a four-way table, checks what must fit,
// completes the sequence number (RFC 4303 appendix A2.2) and takes the first look at the replay window
// (section 3.4.3).
//
// Latency 5 cycles from `d_take` to `v_valid`, initiation interval 1. The look at the window is a filter
// only; the binding one is esp_rx_commit's. Numbers and wire order as in esp_rx_parse.
// Contract: one verdict for each descriptor, in order. v_found says that v_slot is the SA of this SPI. With
// v_status OK, v_iv and v_aad (with the SA's salt) are what the packet is to be opened with.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_rx_lookup #(
    parameter LOG2_SA = 10,
    // log2 of the places in each way of the SPI table
    parameter LOG2_B = LOG2_SA + 1,
    parameter TAGW = 16,
    // width of the descriptor part that only passes through, and of an SA's configuration
    parameter WAY_W = 65 + LOG2_SA,
    parameter CFG_W = 94
) (
    input  wire                 clk,
    input  wire                 rst,
    // keys are being wiped; packets of another epoch have lost their SA
    input  wire                 wipe,
    input  wire [7:0]           epoch,

    input  wire                 d_take,
    input  wire [7:0]           d_epoch,
    input  wire [TAGW-1:0]      d_tag,
    input  wire [4:0]           d_status,
    input  wire                 d_udp,
    input  wire [7:0]           d_tos,
    input  wire [31:0]          d_src,
    input  wire [31:0]          d_dst,
    input  wire [15:0]          d_sport,
    input  wire [15:0]          d_dport,
    input  wire [31:0]          d_spi,
    input  wire [4*LOG2_B-1:0]  d_places,
    input  wire [31:0]          d_seq,
    input  wire [63:0]          d_iv,
    input  wire [4:0]           d_words,
    input  wire [15:0]          d_bytes,
    input  wire                 d_short,

    // the slot unit's side of the SPI table: an SPI's four places read, one written
    input  wire                 b_en,
    input  wire [3:0]           b_we,
    input  wire [4*LOG2_B-1:0]  b_addr,
    input  wire [WAY_W-1:0]     b_wdata,
    output wire [4*WAY_W-1:0]   b_rdata,
    // ... and of the SAs' configuration and draining marks
    input  wire                 cfg_we,
    input  wire [LOG2_SA-1:0]   cfg_addr,
    input  wire [CFG_W-1:0]     cfg_wdata,
    input  wire                 drain_we,
    input  wire                 drain_wdata,
    input  wire                 scrub,

    // sequence state, kept by esp_rx_commit: highest sequence number, then one word of the window
    output wire                 top_en,
    output wire [LOG2_SA-1:0]   top_addr,
    input  wire [63:0]          top_rdata,
    output wire                 win_en,
    output wire [LOG2_SA+4:0]   win_addr,
    input  wire [116:0]         win_rdata,

    output wire                 v_valid,
    output wire [7:0]           v_epoch,
    output wire [TAGW-1:0]      v_tag,
    output wire [4:0]           v_status,
    output wire                 v_found,
    output wire [LOG2_SA-1:0]   v_slot,
    output wire [15:0]          v_gen,
    output wire [63:0]          v_seq,
    output wire                 v_src_changed,
    output wire [7:0]           v_tos,
    output wire                 v_no_ecn,
    output wire                 v_dscp_decap,
    output wire [10:0]          v_window,
    output wire [63:0]          v_iv,
    output wire [95:0]          v_aad,
    output wire                 v_esn,
    output wire [4:0]           v_words,
    output wire [15:0]          v_bytes
);
    // ---- descriptors beside the stages --------------------------------------------------------------------
    localparam SHORT = 0, BYTES = 1, WORDS = 17, IV = 22, SEQ = 86, SPI = 118, DPORT = 150, SPORT = 166,
        DST = 182,
               SRC = 214, TOS = 246, UDP = 254, STATUS = 255, TAG = 260, EPOCH = TAG + TAGW, D_W = EPOCH + 8;
    reg [D_W-1:0] d1, d2, d3, d4, d5;
    reg [5:1] v;

    always @(posedge clk) begin
        v <= rst ? 5'd0 : {v[4:1], d_take};
        if (d_take)
            d1 <= {d_epoch, d_tag, d_status, d_udp, d_tos, d_src, d_dst, d_sport, d_dport, d_spi, d_seq, d_iv,
                   d_words, d_bytes, d_short};
        if (v[1])
            d2 <= d1;
        if (v[2])
            d3 <= d2;
        if (v[3])
            d4 <= d3;
        if (v[4])
            d5 <= d4;
    end

    // ---- cycle 0 and 1: the SPI table ---------------------------------------------------------------------
    wire [4*WAY_W-1:0] ways;
    wire [3:0] match;
    wire [3:0] full;
    wire [31:0] dst1 = d1[DST +: 32];
    wire [31:0] spi1 = d1[SPI +: 32];
    genvar w;

    generate
        for (w = 0; w < 4; w = w + 1) begin : way
            ram_ab #(.W(WAY_W), .LOG2_D(LOG2_B)) ram (
                .clk(clk), .a_en(d_take), .a_addr(d_places[w*LOG2_B +: LOG2_B]),
                .a_rdata(ways[w*WAY_W +: WAY_W]),
                .b_en(b_en), .b_we(b_we[w]), .b_addr(b_addr[w*LOG2_B +: LOG2_B]), .b_wdata(b_wdata),
                .b_rdata(b_rdata[w*WAY_W +: WAY_W])
            );
            assign match[w] = ways[w*WAY_W] && ways[w*WAY_W + 1 +: 32] == spi1;
            assign full[w] = match[w] && ways[w*WAY_W + 33 +: 32] == dst1;
        end
    endgenerate

    reg found2, full2;
    reg [LOG2_SA-1:0] slot2;
    reg [LOG2_SA-1:0] slot_now;
    integer k;
    // the way that fits in SPI and destination, else the one that fits in SPI
    always @* begin
        slot_now = {LOG2_SA{1'b0}};
        for (k = 0; k < 4; k = k + 1)
            if (full == 4'd0 ? match[k] : full[k])
                slot_now = ways[k*WAY_W + 65 +: LOG2_SA];
    end
    always @(posedge clk) begin
        if (v[1]) begin
            found2 <= match != 4'd0;
            full2 <= full != 4'd0;
            slot2 <= slot_now;
        end
    end

    // ---- cycle 2 and 3: configuration, mark and top of the slot; upper half of the sequence number --------
    wire [CFG_W-1:0] cfg3;
    wire draining3;
    key_ram #(.W(CFG_W), .LOG2_D(LOG2_SA)) cfg_ram (
        .clk(clk), .wen(cfg_we), .waddr(cfg_addr), .wdata(cfg_wdata),
        .ren(v[2]), .scrub(scrub), .raddr(slot2), .rdata(cfg3)
    );
    key_ram #(.W(1), .LOG2_D(LOG2_SA)) drain_ram (
        .clk(clk), .wen(drain_we), .waddr(cfg_addr), .wdata(drain_wdata),
        .ren(v[2]), .scrub(scrub), .raddr(slot2), .rdata(draining3)
    );
    assign top_en = v[2];
    assign top_addr = slot2;

    wire cfg_esn, cfg_no_ecn, cfg_dscp;
    wire [15:0] cfg_gen, cfg_sport, cfg_dport;
    wire [31:0] cfg_src;
    wire [10:0] cfg_window;
    assign {cfg_esn, cfg_no_ecn, cfg_dscp, cfg_gen, cfg_sport, cfg_dport, cfg_src, cfg_window}
        = cfg3;

    wire [31:0] seq3 = d3[SEQ +: 32];
    wire udp3 = d3[UDP];
    wire [31:0] src3 = d3[SRC +: 32];
    wire [15:0] sport3 = d3[SPORT +: 16];
    wire [15:0] dport3 = d3[DPORT +: 16];

    // the window lies in one subspace of 2^32 numbers (A) or reaches back into the one before (B)
    wire [31:0] reach = cfg_window == 11'd0 ? 32'd1023 : {21'd0, cfg_window} - 32'd1;
    wire one_subspace = top_rdata[31:0] >= reach;
    wire at_or_above = seq3 >= top_rdata[31:0] - reach;
    wire before_first = cfg_esn && !one_subspace && at_or_above && top_rdata[63:32] == 32'd0;
    wire [31:0] high = one_subspace ? top_rdata[63:32] + {31'd0, !at_or_above}
                                    : top_rdata[63:32] - {31'd0, at_or_above};

    reg found3, full3, found4, full4, before4, esn4, draining4, misfit4, src_changed4, no_ecn4, dscp4;
    reg [LOG2_SA-1:0] slot3, slot4;
    reg [63:0] seq4, top4;
    reg [10:0] window4;
    reg [15:0] gen4;
    always @(posedge clk) begin
        if (v[2]) begin
            found3 <= found2;
            full3 <= full2;
            slot3 <= slot2;
        end
        if (v[3]) begin
            found4 <= found3;
            full4 <= full3;
            slot4 <= slot3;
            before4 <= before_first;
            seq4 <= {cfg_esn ? high : 32'd0, seq3};
            top4 <= top_rdata;
            esn4 <= cfg_esn;
            window4 <= cfg_window;
            gen4 <= cfg_gen;
            no_ecn4 <= cfg_no_ecn;
            dscp4 <= cfg_dscp;
            draining4 <= draining3;
            // plain and in UDP are both taken, NAT or not (RFC 7296 section 2.23)
            misfit4 <= udp3 && dport3 != cfg_dport;
            src_changed4 <= src3 != cfg_src || (udp3 && sport3 != cfg_sport);
        end
    end

    // ---- cycle 4 and 5: the window's word and the verdict -------------------------------------------------
    assign win_en = v[4];
    assign win_addr = {slot4, seq4[10:6]};
    wire [63:0] behind4 = top4 - seq4;

    reg found5, full5, old5, newer5, esn5, draining5, misfit5, src_changed5, no_ecn5, dscp5, checked5;
    reg [LOG2_SA-1:0] slot5;
    reg [63:0] seq5;
    reg [10:0] window5;
    reg [15:0] gen5;
    always @(posedge clk) begin
        if (v[4]) begin
            found5 <= found4;
            full5 <= full4;
            slot5 <= slot4;
            seq5 <= seq4;
            newer5 <= seq4 > top4;
            old5 <= before4 || seq4 == 64'd0 ||
                    (window4 != 11'd0 && seq4 <= top4 && behind4 >= {53'd0, window4});
            checked5 <= window4 != 11'd0;
            esn5 <= esn4;
            window5 <= window4;
            gen5 <= gen4;
            no_ecn5 <= no_ecn4;
            dscp5 <= dscp4;
            draining5 <= draining4;
            misfit5 <= misfit4;
            src_changed5 <= src_changed4;
        end
    end

    wire [4:0] status5 = d5[STATUS +: 5];
    wire [31:0] spi5 = d5[SPI +: 32];
    wire seen5 = checked5 && !newer5 && win_rdata[116:64] == seq5[63:11] && win_rdata[{1'b0, seq5[5:0]}];

    /* verilator lint_off UNUSEDSIGNAL */ // packet statuses have five bits, the header's names sixteen
    reg [15:0] status;
    /* verilator lint_on UNUSEDSIGNAL */
    always @* begin
        status = {11'd0, status5};
        if (wipe || v_epoch != epoch)
            status = `ESPC_STATUS_ABORTED;
        else if (status5 == 5'd0) begin
            if (!found5)
                status = `ESPC_STATUS_NO_SA;
            else if (!full5 || misfit5)
                status = `ESPC_STATUS_SA_MISMATCH;
            else if (draining5)
                status = `ESPC_STATUS_SA_DRAINING;
            else if (d5[SHORT])
                status = `ESPC_STATUS_TRUNCATED;
            else if (old5)
                status = `ESPC_STATUS_REPLAY_OLD;
            else if (seen5)
                status = `ESPC_STATUS_REPLAY_SEEN;
        end
    end

    function [31:0] swap32;
        input [31:0] fv;
        swap32 = {fv[7:0], fv[15:8], fv[23:16], fv[31:24]};
    endfunction

    assign v_valid = v[5];
    assign v_epoch = d5[EPOCH +: 8];
    assign v_tag = d5[TAG +: TAGW];
    assign v_tos = d5[TOS +: 8];
    assign v_words = d5[WORDS +: 5];
    assign v_bytes = d5[BYTES +: 16];
    assign v_status = status[4:0];
    assign v_found = status5 == 5'd0 && found5 && !wipe && v_epoch == epoch;
    assign v_slot = slot5;
    assign v_gen = gen5;
    assign v_seq = seq5;
    assign v_src_changed = src_changed5;
    assign v_no_ecn = no_ecn5;
    assign v_dscp_decap = dscp5;
    assign v_window = window5;
    assign v_iv = d5[IV +: 64];
    assign v_esn = esn5;
    assign v_aad = esn5 ? {swap32(seq5[31:0]), swap32(seq5[63:32]), swap32(spi5)}
                        : {32'd0, swap32(seq5[31:0]), swap32(spi5)};
endmodule

`default_nettype wire
