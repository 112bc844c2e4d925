// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 2: finds the SA by SPI and destination in a four-way table, checks what must fit,
// completes the sequence number (RFC 4303 appendix A2.2) and takes the first look at the replay window
// (section 3.4.3).
//
// Latency 7 cycles from `d_take` to `v_valid`, initiation interval 1. The look at the window is a filter
// only; the binding one is esp_rx_commit's. Numbers and wire order as in esp_rx_parse. Block RAMs' outputs are late: they go into
// registers and nowhere else. The table is read in cycle 0, all that is known of the slot in cycle 3: whoever writes new ends writes
// them three cycles behind the table, so that a packet has both of before or both of after.
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
    // (a window is at most 1,024)
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

    // ---- cycle 0 to 2: the SPI table, and every comparison by itself ----------------------------------------
    wire [4*WAY_W-1:0] ways;
    reg [4*WAY_W-1:0] ways2;
    reg [3:0] spi_fits3, dst_fits3;
    reg [4*LOG2_SA-1:0] slots3;
    wire [31:0] dst2 = d2[DST +: 32];
    wire [31:0] spi2 = d2[SPI +: 32];
    genvar w;

    always @(posedge clk)
        if (v[1])
            ways2 <= ways;
    generate
        for (w = 0; w < 4; w = w + 1) begin : way
            ram_ab #(.W(WAY_W), .LOG2_D(LOG2_B)) ram (
                .clk(clk), .a_en(d_take), .a_addr(d_places[w*LOG2_B +: LOG2_B]),
                .a_rdata(ways[w*WAY_W +: WAY_W]),
                .b_en(b_en), .b_we(b_we[w]), .b_addr(b_addr[w*LOG2_B +: LOG2_B]), .b_wdata(b_wdata),
                .b_rdata(b_rdata[w*WAY_W +: WAY_W])
            );
            always @(posedge clk)
                if (v[2]) begin
                    spi_fits3[w] <= ways2[w*WAY_W] && ways2[w*WAY_W + 1 +: 32] == spi2;
                    dst_fits3[w] <= ways2[w*WAY_W + 33 +: 32] == dst2;
                    slots3[w*LOG2_SA +: LOG2_SA] <= ways2[w*WAY_W + 65 +: LOG2_SA];
                end
        end
    endgenerate

    // ---- cycle 3: the way that fits in SPI and destination, else the one that fits in SPI
    wire [3:0] fits3 = spi_fits3 & dst_fits3;
    wire full3 = fits3 != 4'd0;
    reg [LOG2_SA-1:0] slot3;
    integer k;
    always @* begin
        slot3 = {LOG2_SA{1'b0}};
        for (k = 0; k < 4; k = k + 1)
            if (full3 ? fits3[k] : spi_fits3[k])
                slot3 = slots3[k*LOG2_SA +: LOG2_SA];
    end
    reg found4, full4;
    reg [LOG2_SA-1:0] slot4;
    always @(posedge clk)
        if (v[3]) begin
            found4 <= spi_fits3 != 4'd0;
            full4 <= full3;
            slot4 <= slot3;
        end

    // ---- cycle 3 and 4: configuration, top and the window's word, whose place the packet's own number tells; a cycle later the mark
    wire [CFG_W-1:0] cfg;
    wire draining5;
    localparam END_W = 64;
    // The window is kept negative beside whether there is one: of its complement nothing has to be made but a difference, a slot
    // without configuration is zeros, and no window reaches as far back as one of 1,024 where a number's upper half is looked for.
    wire [10:0] window_new = cfg_wdata[CFG_W-21 -: 11];
    wire [10:0] window_kept = {window_new != 11'd0, 10'd0 - window_new[9:0]};
    key_ram #(.W(CFG_W - END_W), .LOG2_D(LOG2_SA)) cfg_ram (
        .clk(clk), .wen(cfg_we), .waddr(cfg_addr), .wdata({cfg_wdata[CFG_W-1 -: 20], window_kept}),
        .ren(v[3]), .scrub(scrub), .raddr(slot3), .rdata(cfg[CFG_W-1:END_W])
    );
    key_ram #(.W(END_W), .LOG2_D(LOG2_SA)) end_ram (
        .clk(clk), .wen(end_we), .waddr(cfg_addr), .wdata(cfg_wdata[END_W-1:0]),
        .ren(v[3]), .scrub(scrub), .raddr(slot3), .rdata(cfg[END_W-1:0])
    );
    key_ram #(.W(1), .LOG2_D(LOG2_SA)) drain_ram (
        .clk(clk), .wen(drain_we), .waddr(cfg_addr), .wdata(drain_wdata),
        .ren(v[4]), .scrub(scrub), .raddr(slot4), .rdata(draining5)
    );
    wire [4:0] word3 = d3[SEQ + 6 +: 5];
    assign top_en = v[3];
    assign top_addr = slot3;
    assign win_en = v[3];
    assign win_addr = {slot3, word3};

    reg found5, full5, transport5, esn5, no_ecn5, dscp5, some5;
    reg [LOG2_SA-1:0] slot5;
    reg [9:0] minus5;
    reg [15:0] gen5, sport5, dport5;
    reg [31:0] src5;
    reg [63:0] top5;
    reg [116:0] word5;
    always @(posedge clk)
        if (v[4]) begin
            {found5, full5, slot5} <= {found4, full4, slot4};
            {transport5, esn5, no_ecn5, dscp5, gen5, some5, minus5, sport5, dport5, src5} <= cfg;
            {top5, word5} <= {top_rdata, win_rdata};
        end

    // ---- cycle 5: what these words say by themselves. The window lies in one subspace of 2^32 numbers (A) or reaches back into the
    // one before (B)
    wire [31:0] seq_low5 = d5[SEQ +: 32];
    wire [31:0] reach5 = {22'd0, ~minus5};
    reg esn6, found6, transport6, src_changed6, no_ecn6, dscp6;
    reg [LOG2_SA-1:0] slot6;
    reg [15:0] gen6;
    reg [10:0] window6;
    reg draining6, mismatch6;
    // the upper half of the highest number, the same one more and one less; it is the first, the second, the last
    reg [31:0] same6, up6, down6, base6, tag6;
    reg first6, second6, last6;
    // the window lies in one subspace; the packet's lower half is above the highest number's; is zero; fits the word's tag; has its bit
    reg one6, above_top6, zero6, fits_low6, bit6;
    always @(posedge clk)
        if (v[5]) begin
            {found6, slot6, transport6, esn6, no_ecn6, dscp6, gen6} <= {found5, slot5, transport5, esn5, no_ecn5, dscp5, gen5};
            window6 <= some5 ? reach5[10:0] + 11'd1 : 11'd0;
            draining6 <= draining5;
            // Plain and in UDP are both taken, NAT or not (RFC 7296 section 2.23). But behind a NAT a payload in transport mode needs
            // its checksum anew (RFC 3948 section 3.1.2), which a stream of beats cannot get.
            mismatch6 <= !full5 || (d5[UDP] && (d5[DPORT +: 16] != dport5 || transport5));
            src_changed6 <= d5[SRC +: 32] != src5 || (d5[UDP] && d5[SPORT +: 16] != sport5);
            one6 <= top5[31:0] >= reach5;
            base6 <= top5[31:0] - reach5;
            {same6, up6, down6} <= {top5[63:32], top5[63:32] + 32'd1, top5[63:32] - 32'd1};
            {first6, second6, last6} <= {top5[63:32] == 32'd0, top5[63:32] == 32'd1, &top5[63:32]};
            above_top6 <= seq_low5 > top5[31:0];
            zero6 <= seq_low5 == 32'd0;
            tag6 <= word5[116:85];
            fits_low6 <= word5[84:64] == seq_low5[31:11];
            bit6 <= word5[{1'b0, seq_low5[5:0]}];
        end

    // ---- cycle 6: the upper half of the sequence number. Which of its four values it has tells as well how the number stands to
    // the highest and to the window's left edge, so that no comparison of whole numbers has to follow.
    wire [31:0] seq_low6 = d6[SEQ +: 32];
    wire above6 = seq_low6 >= base6;
    wire is_up6 = esn6 && one6 && !above6;
    wire is_down6 = esn6 && !one6 && above6;
    wire is_same6 = esn6 && one6 == above6;
    // without ESN the upper half is 0, whatever the highest number's is
    wire is_zero6 = !esn6;
    wire before6 = is_down6 && first6;
    wire number_zero6 = zero6 && (is_zero6 || (is_same6 && first6) || (is_up6 && last6) || (is_down6 && second6));
    wire newer6 = is_up6 ? !last6 : is_same6 ? above_top6 : is_zero6 && first6 && above_top6;
    wire left6 = is_up6 ? last6 : is_zero6 && (first6 ? one6 && !above6 : one6 || !above6 || !second6);
    wire checked6 = window6 != 11'd0 && !newer6;
    /* verilator lint_off UNUSEDSIGNAL */ // packet statuses have five bits, the header's names sixteen
    reg [15:0] status6;
    /* verilator lint_on UNUSEDSIGNAL */
    wire parsed6 = d6[STATUS +: 5] == 5'd0;
    always @* begin
        status6 = {11'd0, d6[STATUS +: 5]};
        if (parsed6) begin
            if (!found6)
                status6 = `ESPC_STATUS_NO_SA;
            else if (mismatch6)
                status6 = `ESPC_STATUS_SA_MISMATCH;
            else if (draining6)
                status6 = `ESPC_STATUS_SA_DRAINING;
            // the header is made anew without options: RFC 791's own fields are all that is kept
            else if (transport6 && d6[WORDS +: 5] != 5'd9)
                status6 = `ESPC_STATUS_BAD_IP;
            else if (d6[SHORT])
                status6 = `ESPC_STATUS_TRUNCATED;
        end
    end

    reg transport7, found7, esn7, src_changed7, no_ecn7, dscp7, old7, checked7, refused7;
    reg is_up7, is_down7, is_same7, fits_up7, fits_down7, fits_same7, fits_zero7, hit7;
    reg [4:0] status_then7;
    reg [LOG2_SA-1:0] slot7;
    reg [63:0] seq7;
    reg [10:0] window7;
    reg [15:0] gen7;
    always @(posedge clk)
        if (v[6]) begin
            {transport7, esn7, src_changed7, no_ecn7, dscp7, slot7, gen7, window7}
                <= {transport6, esn6, src_changed6, no_ecn6, dscp6, slot6, gen6, window6};
            found7 <= found6 && parsed6;
            status_then7 <= status6[4:0];
            refused7 <= !parsed6 || !found6 || draining6 || mismatch6 || (transport6 && d6[WORDS +: 5] != 5'd9) || d6[SHORT];
            seq7 <= {is_up6 ? up6 : is_down6 ? down6 : is_same6 ? same6 : 32'd0, seq_low6};
            old7 <= before6 || number_zero6 || (checked6 && left6);
            checked7 <= checked6;
            {is_up7, is_down7, is_same7} <= {is_up6, is_down6, is_same6};
            {fits_up7, fits_down7, fits_same7, fits_zero7} <= {tag6 == up6, tag6 == down6, tag6 == same6, tag6 == 32'd0};
            hit7 <= fits_low6 && bit6;
        end

    // ---- cycle 7: the verdict ---------------------------------------------------------------------------
    wire fits7 = is_up7 ? fits_up7 : is_down7 ? fits_down7 : is_same7 ? fits_same7 : fits_zero7;
    localparam [15:0] OLD = `ESPC_STATUS_REPLAY_OLD, SEEN = `ESPC_STATUS_REPLAY_SEEN;
    wire [4:0] status7 = refused7 ? status_then7 : old7 ? OLD[4:0] : (checked7 && hit7 && fits7) ? SEEN[4:0] : 5'd0;
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
    assign v_status = live ? status7 : ABORTED[4:0];
    assign v_found = found7 && live;
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
