// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 2: finds the SA by SPI and destination in a four-way table, checks what must fit,
// completes the sequence number (RFC 4303 appendix A2.2) and takes the first look at the replay window
// (section 3.4.3).
//
// Latency 7 cycles from `d_take` to `v_valid`, initiation interval 1. The look at the window is a filter
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
    parameter CFG_W = 95
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
    input  wire [15:0]          d_id,
    input  wire [1:0]           d_flags,
    input  wire [7:0]           d_ttl,
    input  wire [15:0]          d_sum,
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
    // ... and of the SAs' configuration, of their ends in it, and draining marks
    input  wire                 cfg_we,
    input  wire                 end_we,
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
    // the SA is of transport mode; what is kept of the packet's header then: TOS, identification, flags, TTL, source, destination;
    // its checksum
    output wire                 v_transport,
    output wire [97:0]          v_head,
    output wire [15:0]          v_sum,
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
               SRC = 214, TOS = 246, UDP = 254, STATUS = 255, TAG = 260, EPOCH = TAG + TAGW,
               SUM = EPOCH + 8, TTL = SUM + 16, FLAGS = TTL + 8, ID = FLAGS + 2, D_W = ID + 16;
    reg [D_W-1:0] d1, d2, d3, d4, d5, d6, d7;
    reg [7:1] v;

    always @(posedge clk) begin
        v <= rst ? 7'd0 : {v[6:1], d_take};
        if (d_take)
            d1 <= {d_id, d_flags, d_ttl, d_sum, d_epoch, d_tag, d_status, d_udp, d_tos, d_src, d_dst, d_sport, d_dport, d_spi, d_seq, d_iv,
                   d_words, d_bytes, d_short};
        if (v[1])
            d2 <= d1;
        if (v[2])
            d3 <= d2;
        if (v[3])
            d4 <= d3;
        if (v[4])
            d5 <= d4;
        if (v[5])
            d6 <= d5;
        if (v[6])
            d7 <= d6;
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

    // ---- cycle 1 and 2: configuration, mark and top of the slot, whose number is not yet in a register --------
    wire [CFG_W-1:0] cfg2;
    wire draining2;
    localparam END_W = 64;
    key_ram #(.W(CFG_W - END_W), .LOG2_D(LOG2_SA)) cfg_ram (
        .clk(clk), .wen(cfg_we), .waddr(cfg_addr), .wdata(cfg_wdata[CFG_W-1:END_W]),
        .ren(v[1]), .scrub(scrub), .raddr(slot_now), .rdata(cfg2[CFG_W-1:END_W])
    );
    key_ram #(.W(END_W), .LOG2_D(LOG2_SA)) end_ram (
        .clk(clk), .wen(end_we), .waddr(cfg_addr), .wdata(cfg_wdata[END_W-1:0]),
        .ren(v[1]), .scrub(scrub), .raddr(slot_now), .rdata(cfg2[END_W-1:0])
    );
    key_ram #(.W(1), .LOG2_D(LOG2_SA)) drain_ram (
        .clk(clk), .wen(drain_we), .waddr(cfg_addr), .wdata(drain_wdata),
        .ren(v[1]), .scrub(scrub), .raddr(slot_now), .rdata(draining2)
    );
    assign top_en = v[1];
    assign top_addr = slot_now;

    wire cfg_transport, cfg_esn, cfg_no_ecn, cfg_dscp;
    wire [15:0] cfg_gen, cfg_sport, cfg_dport;
    wire [31:0] cfg_src;
    wire [10:0] cfg_window;
    assign {cfg_transport, cfg_esn, cfg_no_ecn, cfg_dscp, cfg_gen, cfg_window, cfg_sport, cfg_dport, cfg_src} = cfg2;

    // ---- cycle 2: what the slot's words say by themselves ---------------------------------------------------
    reg transport3, found3, full3, esn3, draining3, misfit3, src_changed3, no_ecn3, dscp3;
    reg [LOG2_SA-1:0] slot3;
    reg [63:0] top3;
    reg [10:0] window3, reach3;
    reg [15:0] gen3;
    always @(posedge clk) begin
        if (v[2]) begin
            found3 <= found2;
            full3 <= full2;
            slot3 <= slot2;
            top3 <= top_rdata;
            esn3 <= cfg_esn;
            window3 <= cfg_window;
            reach3 <= cfg_window == 11'd0 ? 11'd1023 : cfg_window - 11'd1;
            gen3 <= cfg_gen;
            no_ecn3 <= cfg_no_ecn;
            dscp3 <= cfg_dscp;
            draining3 <= draining2;
            transport3 <= cfg_transport;
            // Plain and in UDP are both taken, NAT or not (RFC 7296 section 2.23). But behind a NAT a payload in transport mode needs
            // its checksum anew (RFC 3948 section 3.1.2), which a stream of beats cannot get.
            misfit3 <= d2[UDP] && (d2[DPORT +: 16] != cfg_dport || cfg_transport);
            src_changed3 <= d2[SRC +: 32] != cfg_src || (d2[UDP] && d2[SPORT +: 16] != cfg_sport);
        end
    end

    // ---- cycle 3 and 4: the upper half of the sequence number. The window lies in one subspace of 2^32 numbers (A) or
    // reaches back into the one before (B)
    reg transport4, found4, full4, esn4, draining4, misfit4, src_changed4, no_ecn4, dscp4, one4, first4;
    reg [LOG2_SA-1:0] slot4;
    reg [63:0] top4;
    reg [31:0] base4, up4, down4;
    reg [10:0] window4;
    reg [15:0] gen4;
    always @(posedge clk)
        if (v[3]) begin
            {transport4, found4, full4, esn4, draining4, misfit4, src_changed4, no_ecn4, dscp4}
                <= {transport3, found3, full3, esn3, draining3, misfit3, src_changed3, no_ecn3, dscp3};
            slot4 <= slot3;
            gen4 <= gen3;
            window4 <= window3;
            top4 <= top3;
            one4 <= top3[31:0] >= {21'd0, reach3};
            base4 <= top3[31:0] - {21'd0, reach3};
            up4 <= top3[63:32] + 32'd1;
            down4 <= top3[63:32] - 32'd1;
            first4 <= top3[63:32] == 32'd0;
        end

    wire [31:0] seq_low4 = d4[SEQ +: 32];
    wire above4 = seq_low4 >= base4;
    wire [31:0] same4 = top4[63:32];
    wire [31:0] high4 = one4 ? (above4 ? same4 : up4) : (above4 ? down4 : same4);
    reg transport5, found5, full5, esn5, draining5, misfit5, src_changed5, no_ecn5, dscp5, before5;
    reg [LOG2_SA-1:0] slot5;
    reg [63:0] top5, seq5;
    reg [10:0] window5;
    reg [15:0] gen5;
    always @(posedge clk)
        if (v[4]) begin
            {transport5, found5, full5, esn5, draining5, misfit5, src_changed5, no_ecn5, dscp5}
                <= {transport4, found4, full4, esn4, draining4, misfit4, src_changed4, no_ecn4, dscp4};
            slot5 <= slot4;
            gen5 <= gen4;
            window5 <= window4;
            top5 <= top4;
            seq5 <= {esn4 ? high4 : 32'd0, seq_low4};
            before5 <= esn4 && !one4 && above4 && first4;
        end

    // ---- cycle 4 to 7: the window's word, whose place the lower half tells; a block RAM's output is late and goes into a register
    assign win_en = v[4];
    assign win_addr = {slot4, seq_low4[10:6]};
    reg [116:0] word6;
    always @(posedge clk)
        if (v[5])
            word6 <= win_rdata;

    reg transport6, found6, full6, esn6, draining6, misfit6, src_changed6, no_ecn6, dscp6, out6, newer6;
    reg [LOG2_SA-1:0] slot6;
    reg [63:0] seq6, behind6;
    reg [10:0] window6;
    reg [15:0] gen6;
    always @(posedge clk)
        if (v[5]) begin
            {transport6, found6, full6, esn6, draining6, misfit6, src_changed6, no_ecn6, dscp6}
                <= {transport5, found5, full5, esn5, draining5, misfit5, src_changed5, no_ecn5, dscp5};
            slot6 <= slot5;
            gen6 <= gen5;
            window6 <= window5;
            seq6 <= seq5;
            behind6 <= top5 - seq5;
            newer6 <= seq5 > top5;
            out6 <= before5 || seq5 == 64'd0;
        end

    reg transport7, found7, full7, esn7, draining7, misfit7, src_changed7, no_ecn7, dscp7, old7, fits7, bit7;
    reg [LOG2_SA-1:0] slot7;
    reg [63:0] seq7;
    reg [10:0] window7;
    reg [15:0] gen7;
    wire checked6 = window6 != 11'd0 && !newer6;
    always @(posedge clk)
        if (v[6]) begin
            {transport7, found7, full7, esn7, draining7, misfit7, src_changed7, no_ecn7, dscp7}
                <= {transport6, found6, full6, esn6, draining6, misfit6, src_changed6, no_ecn6, dscp6};
            slot7 <= slot6;
            gen7 <= gen6;
            window7 <= window6;
            seq7 <= seq6;
            old7 <= out6 || (checked6 && (behind6[63:11] != 53'd0 || behind6[10:0] >= window6));
            fits7 <= checked6 && word6[116:64] == seq6[63:11];
            bit7 <= word6[{1'b0, seq6[5:0]}];
        end

    // ---- cycle 7: the verdict ---------------------------------------------------------------------------
    /* verilator lint_off UNUSEDSIGNAL */ // packet statuses have five bits, the header's names sixteen
    reg [15:0] status7;
    /* verilator lint_on UNUSEDSIGNAL */
    wire parsed7 = d7[STATUS +: 5] == 5'd0;
    always @* begin
        status7 = {11'd0, d7[STATUS +: 5]};
        if (parsed7) begin
            if (!found7)
                status7 = `ESPC_STATUS_NO_SA;
            else if (!full7 || misfit7)
                status7 = `ESPC_STATUS_SA_MISMATCH;
            else if (draining7)
                status7 = `ESPC_STATUS_SA_DRAINING;
            // the header is made anew without options: RFC 791's own fields are all that is kept
            else if (transport7 && d7[WORDS +: 5] != 5'd9)
                status7 = `ESPC_STATUS_BAD_IP;
            else if (d7[SHORT])
                status7 = `ESPC_STATUS_TRUNCATED;
            else if (old7)
                status7 = `ESPC_STATUS_REPLAY_OLD;
            else if (fits7 && bit7)
                status7 = `ESPC_STATUS_REPLAY_SEEN;
        end
    end
    wire live = !wipe && v_epoch == epoch;
    wire [31:0] spi7 = d7[SPI +: 32];
    localparam [15:0] ABORTED = `ESPC_STATUS_ABORTED;

    function [31:0] swap32;
        input [31:0] fv;
        swap32 = {fv[7:0], fv[15:8], fv[23:16], fv[31:24]};
    endfunction

    assign v_valid = v[7];
    assign v_epoch = d7[EPOCH +: 8];
    assign v_tag = d7[TAG +: TAGW];
    assign v_tos = d7[TOS +: 8];
    assign v_transport = transport7;
    assign v_head = {d7[TOS +: 8], d7[ID +: 16], d7[FLAGS +: 2], d7[TTL +: 8], d7[SRC +: 32], d7[DST +: 32]};
    assign v_sum = d7[SUM +: 16];
    assign v_words = d7[WORDS +: 5];
    assign v_bytes = d7[BYTES +: 16];
    assign v_status = live ? status7[4:0] : ABORTED[4:0];
    assign v_found = found7 && parsed7 && live;
    assign v_slot = slot7;
    assign v_gen = gen7;
    assign v_seq = seq7;
    assign v_src_changed = src_changed7;
    assign v_no_ecn = no_ecn7;
    assign v_dscp_decap = dscp7;
    assign v_window = window7;
    assign v_iv = d7[IV +: 64];
    assign v_esn = esn7;
    assign v_aad = esn7 ? {swap32(seq7[31:0]), swap32(seq7[63:32]), swap32(spi7)}
                        : {32'd0, swap32(seq7[31:0]), swap32(spi7)};

    wire unused = &{1'b0, d7, 1'b0};
endmodule

`default_nettype wire
