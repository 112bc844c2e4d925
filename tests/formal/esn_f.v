// SPDX-License-Identifier: Apache-2.0
// The upper half of an inbound sequence number, which no packet carries (RFC 4303 appendix A2.2), as rtl/esp/esp_rx_lookup.v infers
// it, at its real width: for any highest number received, any window from 1 to 1,024 and any lower half, a packet each cycle. The
// reference knows no subspaces: of all numbers with that lower half it is the first from the window's left edge on. Where that is
// below 0 there is none, and the packet never has status OK. What goes into the ICV (the AAD of RFC 4106 section 5) has that number.
// Without ESN the upper half is 0. A window of 0, which is no check, stands for one of 1,024.
//
// Under LINK is what each stage knows; with it the proof is by induction, for histories of any length. The SA's words come from
// memories of which nothing is known but that windows are not above 1,024, and that no number above 2^64 - 2^32 has been received.
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
    wire [63:0] v_seq;
    wire [95:0] v_aad;
    esp_rx_lookup #(.LOG2_SA(1), .LOG2_B(1), .TAGW(1)) dut (
        .clk(clk), .rst(rst), .wipe(wipe), .epoch(epoch), .d_take(d_take), .d_epoch(d_epoch), .d_tag(1'b0), .d_status(d_status),
        .d_udp(d_udp), .d_tos(8'd0), .d_id(16'd0), .d_flags(2'd0), .d_ttl(8'd0), .d_sum(16'd0), .d_src(32'd0), .d_dst(d_dst),
        .d_sport(16'd0), .d_dport(d_dport), .d_spi(d_spi), .d_places(d_places), .d_seq(d_seq), .d_iv(64'd0), .d_words(d_words),
        .d_bytes(16'd0), .d_short(d_short), .b_en(1'b0), .b_we(4'd0), .b_addr(4'd0), .b_wdata(66'd0), .cfg_we(cfg_we),
        .end_we(end_we), .cfg_addr(cfg_addr), .cfg_wdata(cfg_wdata), .drain_we(drain_we), .drain_wdata(drain_wdata), .scrub(scrub),
        .top_rdata(top_rdata), .win_rdata(win_rdata), .v_valid(v_valid), .v_status(v_status), .v_seq(v_seq), .v_aad(v_aad),
        .v_esn(v_esn), .v_transport(v_transport)
    );
    (* hierconn *) wire [7:1] \dut.v ;
    (* hierconn *) wire [63:0] \dut.top3 , \dut.top4 , \dut.top5 , \dut.seq5 , \dut.seq6 , \dut.seq7 ;
    (* hierconn *) wire [10:0] \dut.window3 , \dut.reach3 , \dut.window4 , \dut.window5 ;
    (* hierconn *) wire \dut.esn5 , \dut.esn6 , \dut.esn7 , \dut.before5 , \dut.out6 , \dut.old7 , \dut.one4 , \dut.first4 ;
    (* hierconn *) wire [31:0] \dut.base4 , \dut.up4 , \dut.down4 ;
    (* hierconn *) wire [31:0] \dut.seq_low4 , \dut.spi7 ;

    reg begun = 0;
    always @(posedge clk)
        begun <= 1;
    always @* begin
        assume (rst == !begun);
        if (\dut.v [3])
            assume (\dut.window3 <= 11'd1024 && \dut.top3 [63:32] != 32'hffffffff);
    end

    // ---- the reference, beside stage 5 and carried on from there
    wire signed [66:0] width = \dut.window5 == 11'd0 ? 67'sd1024 : {56'd0, \dut.window5 };
    wire signed [66:0] edge_5 = $signed({3'd0, \dut.top5 }) - width + 67'sd1;
    reg [31:0] low5, low6, low7;
    wire [31:0] step = low5 - edge_5[31:0];
    wire signed [66:0] first_5 = edge_5 + $signed({35'd0, step});
    wire none5 = \dut.esn5 && first_5 < 67'sd0;
    wire [63:0] number5 = \dut.esn5 ? first_5[63:0] : {32'd0, low5};
    reg [63:0] number6, number7;
    reg none6, none7;
    always @(posedge clk) begin
        low5 <= \dut.seq_low4 ;
        {low6, low7} <= {low5, low6};
        {number6, number7} <= {number5, number6};
        {none6, none7} <= {none5, none6};
    end

    // ---- what each stage knows of the one before
    function [31:0] reach(input [10:0] window);
        reach = window == 11'd0 ? 32'd1023 : {21'd0, window} - 32'd1;
    endfunction
    function [31:0] swapped(input [31:0] word);
        swapped = {word[7:0], word[15:8], word[23:16], word[31:24]};
    endfunction

    always @* if (begun) begin
        if (\dut.v [5]) begin
            a_none: assert (\dut.before5 == none5);
            if (!none5)
                a_number: assert (\dut.seq5 == number5);
        end
        if (v_valid && !none7)
            a_carried: assert (v_seq == number7);
        if (v_valid && v_status == 5'd0)
            a_before_the_first: assert (!none7);
        if (v_valid && !none7)
            a_aad: assert (v_aad == (v_esn ? {swapped(low7), swapped(number7[63:32]), swapped(\dut.spi7 )}
                                           : {32'd0, swapped(low7), swapped(\dut.spi7 )}));
`ifdef LINK
        if (\dut.v [3])
            a_reach: assert ({21'd0, \dut.reach3 } == reach(\dut.window3 ));
        if (\dut.v [4]) begin
            a_range: assert (\dut.window4 <= 11'd1024 && \dut.top4 [63:32] != 32'hffffffff);
            a_one: assert (\dut.one4 == (\dut.top4 [31:0] >= reach(\dut.window4 )));
            a_base: assert (\dut.base4 == \dut.top4 [31:0] - reach(\dut.window4 ));
            a_up: assert (\dut.up4 == \dut.top4 [63:32] + 32'd1 && \dut.down4 == \dut.top4 [63:32] - 32'd1);
            a_first: assert (\dut.first4 == (\dut.top4 [63:32] == 32'd0));
        end
        if (\dut.v [6])
            a_six: assert ((none6 || \dut.seq6 == number6) && (!none6 || \dut.out6 ) && number6[31:0] == low6);
        if (\dut.v [7])
            a_seven: assert ((none7 || \dut.seq7 == number7) && (!none7 || \dut.old7 ) && number7[31:0] == low7);
`endif
        c_above: cover (v_valid && v_status == 5'd0 && v_esn && \dut.v [5] && \dut.esn5 && number5[63:32] == \dut.top5 [63:32] + 32'd1);
        c_below: cover (\dut.v [5] && \dut.esn5 && !none5 && number5[63:32] + 32'd1 == \dut.top5 [63:32]);
        c_none: cover (\dut.v [5] && none5);
        c_plain: cover (v_valid && v_status == 5'd0 && !v_esn);
        c_transport: cover (v_valid && v_status == 5'd0 && v_esn && v_transport);
    end
endmodule
