// SPDX-License-Identifier: Apache-2.0
// The upper half of an inbound sequence number, which no packet carries (RFC 4303 appendix A2.2), as rtl/esp/esp_rx_lookup.v infers
// it, at its real width: for any highest number received, any window from 1 to 1,024 and any lower half, a packet each cycle. The
// reference knows no subspaces: of all numbers with that lower half it is the first from the window's left edge on. Where that is
// below 0 there is none, and the packet never has status OK. What goes into the ICV (the AAD of RFC 4106 section 5) has that number.
// Without ESN the upper half is 0. A window of 0, which is no check, stands for one of 1,024.
//
// The look-up compares no whole numbers: where one stands to the highest and to the window's left edge it takes from which upper half
// it has. What it says of that, and whether the window's word has the number, is held against whole numbers here.
//
// Under LINK is what each stage knows; with it the proof is by induction, for histories of any length. The SA's words come from
// memories of which nothing is known but that windows have the form that is proved of what is written there, and that no number above
// 2^64 - 2^32 has been received.
`include "hw/regs/gen/espalier_card.vh"
module esn_f (
    input wire          clk,
    input wire          rst,
    input wire          wipe,
    input wire [7:0]    epoch,
    input wire          d_take,
    input wire [7:0]    d_epoch,
    input wire [4:0]    d_status,
    input wire          d_udp,
    input wire          d_short,
    input wire [31:0]   d_dst,
    input wire [15:0]   d_dport,
    input wire [31:0]   d_spi,
    input wire [3:0]    d_places,
    input wire [31:0]   d_seq,
    input wire [4:0]    d_words,
    input wire          cfg_we,
    input wire          end_we,
    input wire          cfg_addr,
    input wire [94:0]   cfg_wdata,
    input wire          drain_we,
    input wire          drain_wdata,
    input wire          scrub,
    input wire [63:0]   top_rdata,
    input wire [116:0]  win_rdata
);
    wire v_valid, v_esn, v_transport;
    wire [4:0] v_status;
    wire [10:0] v_window;
    wire [63:0] v_seq;
    wire [95:0] v_aad;
    esp_rx_lookup #(.LOG2_SA(1), .LOG2_B(1), .TAGW(1)) dut (
        .clk(clk), .rst(rst), .wipe(wipe), .epoch(epoch), .d_take(d_take), .d_epoch(d_epoch), .d_tag(1'b0), .d_status(d_status),
        .d_udp(d_udp), .d_tos(8'd0), .d_id(16'd0), .d_flags(2'd0), .d_ttl(8'd0), .d_sum(16'd0), .d_src(32'd0), .d_dst(d_dst),
        .d_sport(16'd0), .d_dport(d_dport), .d_spi(d_spi), .d_places(d_places), .d_seq(d_seq), .d_iv(64'd0), .d_words(d_words),
        .d_bytes(16'd0), .d_short(d_short), .b_en(1'b0), .b_we(4'd0), .b_addr(4'd0), .b_wdata(66'd0), .cfg_we(cfg_we),
        .end_we(end_we), .cfg_addr(cfg_addr), .cfg_wdata(cfg_wdata), .drain_we(drain_we), .drain_wdata(drain_wdata), .scrub(scrub),
        .top_rdata(top_rdata), .win_rdata(win_rdata), .v_valid(v_valid), .v_status(v_status), .v_seq(v_seq), .v_aad(v_aad),
        .v_esn(v_esn), .v_transport(v_transport), .v_window(v_window)
    );
    (* hierconn *) wire [7:1] \dut.v ;
    (* hierconn *) wire [63:0] \dut.top5 , \dut.seq7 ;
    (* hierconn *) wire [116:0] \dut.word5 ;
    (* hierconn *) wire [10:0] \dut.window_new , \dut.window_kept , \dut.window6 ;
    (* hierconn *) wire [9:0] \dut.minus5 ;
    (* hierconn *) wire \dut.some5 , \dut.esn6 , \dut.one6 , \dut.first6 , \dut.second6 , \dut.last6 , \dut.before6 ;
    (* hierconn *) wire \dut.above_top6 , \dut.zero6 , \dut.fits_low6 , \dut.bit6 , \dut.live ;
    (* hierconn *) wire [31:0] \dut.same6 , \dut.up6 , \dut.down6 , \dut.base6 , \dut.tag6 ;
    (* hierconn *) wire [31:0] \dut.seq_low5 , \dut.seq_low6 , \dut.spi7 ;
    (* hierconn *) wire \dut.refused7 , \dut.old7 ;
    (* hierconn *) wire [4:0] \dut.status_then7 ;

    reg begun = 0;
    always @(posedge clk)
        begun <= 1;
    always @* begin
        assume (rst == !begun);
        if (\dut.v [5])
            assume (\dut.top5 [63:32] != 32'hffffffff && (\dut.some5 || \dut.minus5 == 10'd0));
    end

    // ---- the reference, beside stage 6 and carried on from there
    reg [63:0] top6;
    reg [116:0] word6;
    reg [31:0] low6, low7;
    wire [10:0] window6 = \dut.window6 ;
    wire signed [66:0] width = window6 == 11'd0 ? 67'sd1024 : {56'd0, window6};
    wire signed [66:0] edge_6 = $signed({3'd0, top6}) - width + 67'sd1;
    wire [31:0] step = low6 - edge_6[31:0];
    wire signed [66:0] first_6 = edge_6 + $signed({35'd0, step});
    wire none6 = \dut.esn6 && first_6 < 67'sd0;
    wire [63:0] number6 = \dut.esn6 ? first_6[63:0] : {32'd0, low6};
    // behind the highest number, so that the window says whether it may come
    wire checked6 = window6 != 11'd0 && number6 <= top6;
    reg [63:0] number7;
    reg none7, old7, seen7, esn7;
    reg [10:0] window7;
    always @(posedge clk) begin
        top6 <= \dut.top5 ;
        word6 <= \dut.word5 ;
        low6 <= \dut.seq_low5 ;
        {low7, number7, none7, window7, esn7} <= {low6, number6, none6, window6, \dut.esn6 };
        old7 <= none6 || number6 == 64'd0 || (checked6 && top6 - number6 >= {53'd0, window6});
        seen7 <= checked6 && word6[116:64] == number6[63:11] && word6[{1'b0, number6[5:0]}];
    end

    // ---- what each stage knows of the one before
    function [31:0] reach(input [10:0] window);
        reach = window == 11'd0 ? 32'd1023 : {21'd0, window} - 32'd1;
    endfunction
    function [31:0] swapped(input [31:0] word);
        swapped = {word[7:0], word[15:8], word[23:16], word[31:24]};
    endfunction
    localparam [4:0] OLD = `ESPC_STATUS_REPLAY_OLD, SEEN = `ESPC_STATUS_REPLAY_SEEN;

    always @* if (begun) begin
        if (\dut.window_new <= 11'd1024)
            a_kept: assert (\dut.window_kept == {\dut.window_new != 11'd0, 10'd1023 - (\dut.window_new [9:0] - 10'd1)}
                            && (\dut.window_kept [10] || \dut.window_kept [9:0] == 10'd0));
        if (\dut.v [6])
            a_none: assert (\dut.before6 == none6);
        if (v_valid && !none7)
            a_number: assert (v_seq == number7);
        if (v_valid && v_status == 5'd0)
            a_before_the_first: assert (!none7);
        if (v_valid && !none7)
            a_aad: assert (v_aad == (v_esn ? {swapped(low7), swapped(number7[63:32]), swapped(\dut.spi7 )}
                                           : {32'd0, swapped(low7), swapped(\dut.spi7 )}));
        if (v_valid)
            a_window: assert (v_window == window7 && v_esn == esn7);
        // the early look at the window
        if (v_valid && \dut.live && !\dut.refused7 )
            a_early: assert (v_status == (old7 ? OLD : seen7 ? SEEN : 5'd0));
`ifdef LINK
        if (\dut.v [6]) begin
            a_low: assert (\dut.seq_low6 == low6);
            a_range: assert (window6 <= 11'd1024 && top6[63:32] != 32'hffffffff);
            a_one: assert (\dut.one6 == (top6[31:0] >= reach(window6)));
            a_base: assert (\dut.base6 == top6[31:0] - reach(window6));
            a_halves: assert (\dut.same6 == top6[63:32] && \dut.up6 == top6[63:32] + 32'd1 && \dut.down6 == top6[63:32] - 32'd1);
            a_first: assert (\dut.first6 == (top6[63:32] == 32'd0) && \dut.second6 == (top6[63:32] == 32'd1) && !\dut.last6 );
            a_low_half: assert (\dut.above_top6 == (low6 > top6[31:0]) && \dut.zero6 == (low6 == 32'd0));
            a_word: assert (\dut.tag6 == word6[116:85] && \dut.fits_low6 == (word6[84:64] == low6[31:11])
                            && \dut.bit6 == word6[{1'b0, low6[5:0]}]);
        end
        if (v_valid)
            a_carried: assert (\dut.seq7 [31:0] == low7 && number7[31:0] == low7 && (!none7 || \dut.old7 )
                              && \dut.refused7 == (\dut.status_then7 != 5'd0));
`endif
        c_above: cover (v_valid && v_status == 5'd0 && v_esn && \dut.v [6] && \dut.esn6 && number6[63:32] == top6[63:32] + 32'd1);
        c_below: cover (\dut.v [6] && \dut.esn6 && !none6 && number6[63:32] + 32'd1 == top6[63:32]);
        c_none: cover (\dut.v [6] && none6);
        c_plain: cover (v_valid && v_status == 5'd0 && !v_esn);
        c_transport: cover (v_valid && v_status == 5'd0 && v_esn && v_transport);
        c_seen: cover (v_valid && v_status == SEEN && v_esn);
        c_old: cover (v_valid && v_status == OLD && !v_esn && number7 != 64'd0);
    end
endmodule
