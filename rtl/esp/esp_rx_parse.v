// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 1: collects the first 96 bytes of each outer packet while its beats pass into the
// store, and turns them into one descriptor: IPv4 (RFC 791) with options skipped, UDP encapsulation (RFC
// 3948), the ESP header (RFC 4303) and the initialization vector (RFC 4106).
//
// Latency 5 cycles from the beat that completes the header (the 96th byte or the packet's last) to `d_valid`;
// initiation interval 1 packet. Byte n of the packet is byte n modulo KB of the bus. Addresses are in wire
// order (first octet in bits 7:0), as are iv and identification; spi, seq, ports and checksum are numbers.
// Contract: one descriptor for each packet, in order; d_status is OK, TOO_LONG, TRUNCATED, BAD_IP, FRAGMENT
// or NOT_ESP; the fields are meaningful only with OK. d_words is the payload's offset in 32-bit words,
// d_bytes its length without IV and ICV. d_short: the ESP packet's length is impossible (checked after the
// look-up).
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_rx_parse #(
    parameter LANES = 1,
    parameter MAX_LEN = 9216,
    parameter TAGW = 16,
    // log2 of the places in each way of the SPI table
    parameter LOG2_B = 10
) (
    input  wire                 clk,
    input  wire                 rst,
    // a beat is taken
    input  wire                 s_take,
    input  wire [128*LANES-1:0] s_data,
    input  wire                 s_last,
    // on the last beat: the packet has another length than s_len
    input  wire                 s_bad,
    input  wire [TAGW-1:0]      s_tag,
    input  wire [15:0]          s_len,

    output reg                  d_valid,
    output reg  [TAGW-1:0]      d_tag,
    output reg  [4:0]           d_status,
    output reg                  d_udp,
    output reg  [7:0]           d_tos,
    // what a packet in transport mode keeps besides: identification, flags (reserved, DF), TTL; and the header's checksum
    output reg  [15:0]          d_id,
    output reg  [1:0]           d_flags,
    output reg  [7:0]           d_ttl,
    output reg  [15:0]          d_sum,
    output reg  [31:0]          d_src,
    output reg  [31:0]          d_dst,
    output reg  [15:0]          d_sport,
    output reg  [15:0]          d_dport,
    output reg  [31:0]          d_spi,
    output wire [4*LOG2_B-1:0]  d_places,
    output reg  [31:0]          d_seq,
    output reg  [63:0]          d_iv,
    output reg  [4:0]           d_words,
    output reg  [15:0]          d_bytes,
    output reg                  d_short
);
    localparam W = 128 * LANES;
    localparam BEATS = 6 / LANES + (6 % LANES != 0 ? 1 : 0);
    localparam [15:0] LIMIT = MAX_LEN;

    function [15:0] swap16;
        input [15:0] v;
        swap16 = {v[7:0], v[15:8]};
    endfunction

    function [31:0] swap32;
        input [31:0] v;
        swap32 = {v[7:0], v[15:8], v[23:16], v[31:24]};
    endfunction

    // ---- collect the header -------------------------------------------------------------------------------
    reg [BEATS*W-1:0] head;
    reg [2:0] beat;
    reg done;            // the descriptor of the current packet is on its way
    reg cut;             // the packet has ended, and not where its length says
    reg full;            // `head` holds a whole header in this cycle
    reg [TAGW-1:0] tag;
    reg [15:0] len;
    wire complete = s_take && !done && (s_last || beat == BEATS[2:0] - 3'd1);
    integer i;

    always @(posedge clk) begin
        full <= complete;
        cut <= s_last && s_bad;
        if (s_take) begin
            for (i = 0; i < BEATS; i = i + 1)
                if (beat == i[2:0] && !done)
                    head[i*W +: W] <= s_data;
            if (beat == 3'd0 && !done) begin
                tag <= s_tag;
                len <= s_len;
            end
            beat <= (s_last || complete) ? 3'd0 : beat + {2'd0, !done};
            done <= (done || complete) && !s_last;
        end
        if (rst) begin
            full <= 1'b0;
            beat <= 3'd0;
            done <= 1'b0;
        end
    end

    // ---- fields, and the header checksum in three parts ---------------------------------------------------
    wire [3:0] ihl = head[3:0];
    wire [7:0] proto = head[79:72];
    wire is_udp = proto == 8'd17;
    wire [4:0] esp_word = {1'b0, ihl} + (is_udp ? 5'd2 : 5'd0);
    wire [47:0] udp_head = head[{1'b0, ihl, 5'd0} +: 48];
    wire [127:0] esp_head = head[{esp_word, 5'd0} +: 128];

    // the sum of three words' halves, those inside the header only
    function [18:0] part_sum;
        input [95:0] words;
        input [2:0]  in;
        part_sum = ((in[0] ? {3'd0, words[15:0]} : 19'd0) + (in[0] ? {3'd0, words[31:16]} : 19'd0))
                 + ((in[1] ? {3'd0, words[47:32]} : 19'd0) + (in[1] ? {3'd0, words[63:48]} : 19'd0))
                 + ((in[2] ? {3'd0, words[79:64]} : 19'd0) + (in[2] ? {3'd0, words[95:80]} : 19'd0));
    endfunction

    // word k belongs to the header; without five words there is none, and that is found by ihl itself
    wire [15:0] words_in = ~(16'hffff << ihl);

    reg v1;
    reg [18:0] sum1 [0:4];
    reg [3:0] version1, ihl1;
    reg [7:0] tos1, proto1, ttl1;
    reg [15:0] id1, check1;
    reg [1:0] keep1;
    reg [15:0] total1, len1, udp_len1, sport1, dport1;
    reg frag1, cut1;
    reg [31:0] src1, dst1, spi1, seq1;
    reg [63:0] iv1;
    reg [TAGW-1:0] tag1;
    integer part;

    always @(posedge clk) begin
        v1 <= full && !rst;
        if (full) begin
            for (part = 0; part < 5; part = part + 1)
                sum1[part] <= part_sum(head[96*part +: 96], words_in[3*part +: 3]);
            version1 <= head[7:4];
            ihl1 <= ihl;
            tos1 <= head[15:8];
            total1 <= swap16(head[31:16]);
            // more fragments, or an offset
            frag1 <= head[53] || head[52:48] != 5'd0 || head[63:56] != 8'd0;
            proto1 <= proto;
            id1 <= head[47:32];
            keep1 <= head[55:54];
            ttl1 <= head[71:64];
            check1 <= swap16(head[95:80]);
            src1 <= head[127:96];
            dst1 <= head[159:128];
            sport1 <= swap16(udp_head[15:0]);
            dport1 <= swap16(udp_head[31:16]);
            udp_len1 <= swap16(udp_head[47:32]);
            spi1 <= swap32(esp_head[31:0]);
            seq1 <= swap32(esp_head[63:32]);
            iv1 <= esp_head[127:64];
            tag1 <= tag;
            len1 <= len;
            cut1 <= cut;
        end
    end

    // ---- the sum of the sums, and every comparison by itself ------------------------------------------------
    wire udp1 = proto1 == 8'd17;
    wire [15:0] ip_head = {10'd0, ihl1, 2'd0};
    wire [15:0] room = total1 - ip_head;
    localparam SIDE = TAGW + 1 + 8 + 128 + 32 + 64 + 4 + 42;
    reg v2, long2, short2, bad_ip2, tiny2, cut_total2, less2, frag2, other2, udp2, udp_bad2, no_spi2;
    reg [21:0] sum2;
    reg [15:0] esp_len2;
    reg [SIDE-1:0] side2, side3;

    always @(posedge clk) begin
        v2 <= v1 && !rst;
        if (v1) begin
            sum2 <= ({3'd0, sum1[0]} + {3'd0, sum1[1]}) + ({3'd0, sum1[2]} + {3'd0, sum1[3]}) + {3'd0, sum1[4]};
            long2 <= len1 > LIMIT;
            short2 <= cut1 || len1 < 16'd20;
            bad_ip2 <= version1 != 4'd4 || ihl1 < 4'd5;
            tiny2 <= len1 < ip_head;
            less2 <= total1 < ip_head;
            cut_total2 <= total1 > len1;
            frag2 <= frag1;
            other2 <= proto1 != 8'd50 && !udp1;
            udp2 <= udp1;
            udp_bad2 <= room < 16'd8 || udp_len1 < 16'd8 || udp_len1 > room;
            no_spi2 <= spi1 == 32'd0;
            esp_len2 <= udp1 ? udp_len1 - 16'd8 : room;
            side2 <= {tag1, udp1, tos1, src1, dst1, sport1, dport1, spi1, seq1, iv1, ihl1, id1, keep1, ttl1, check1};
        end
    end

    wire [16:0] fold2 = {1'b0, sum2[15:0]} + {11'd0, sum2[21:16]};
    reg v3, sum_ok3, no_esp3;
    reg [15:0] esp_len3;
    reg [9:0] flags3;
    always @(posedge clk) begin
        v3 <= v2 && !rst;
        if (v2) begin
            sum_ok3 <= (fold2[15:0] + {15'd0, fold2[16]}) == 16'hffff;
            no_esp3 <= esp_len2 < 16'd8;
            flags3 <= {long2, short2, bad_ip2, tiny2, less2, cut_total2, frag2, other2, udp2 && udp_bad2,
                       udp2 && no_spi2};
            esp_len3 <= esp_len2;
            side3 <= side2;
        end
    end

    // ---- verdict ------------------------------------------------------------------------------------------
    wire [TAGW-1:0] tag3;
    wire udp3;
    wire [7:0] tos3, ttl3;
    wire [15:0] id3, check3;
    wire [1:0] keep3;
    wire [31:0] src3, dst3, spi3, seq3;
    wire [15:0] sport3, dport3;
    wire [63:0] iv3;
    wire [3:0] ihl3;
    assign {tag3, udp3, tos3, src3, dst3, sport3, dport3, spi3, seq3, iv3, ihl3, id3, keep3, ttl3, check3} = side3;
    wire long3, short3, bad_ip3, tiny3, less3, cut_total3, frag3, other3, udp_bad3, no_spi3;
    assign {long3, short3, bad_ip3, tiny3, less3, cut_total3, frag3, other3, udp_bad3, no_spi3} = flags3;
    /* verilator lint_off UNUSEDSIGNAL */ // packet statuses have five bits, the header's names sixteen
    reg [15:0] status;
    /* verilator lint_on UNUSEDSIGNAL */

    always @* begin
        status = `ESPC_STATUS_OK;
        if (long3)
            status = `ESPC_STATUS_TOO_LONG;
        else if (short3)
            status = `ESPC_STATUS_TRUNCATED;
        else if (bad_ip3)
            status = `ESPC_STATUS_BAD_IP;
        else if (tiny3)
            status = `ESPC_STATUS_TRUNCATED;
        else if (!sum_ok3 || less3)
            status = `ESPC_STATUS_BAD_IP;
        else if (cut_total3)
            status = `ESPC_STATUS_TRUNCATED;
        else if (frag3)
            status = `ESPC_STATUS_FRAGMENT;
        else if (other3)
            status = `ESPC_STATUS_NOT_ESP;
        else if (udp_bad3)
            status = `ESPC_STATUS_TRUNCATED;
        // keepalives and what is too short for a header; IKE has a zero where the SPI would be
        else if (no_spi3 || (udp3 && no_esp3))
            status = `ESPC_STATUS_NOT_ESP;
        else if (no_esp3)
            status = `ESPC_STATUS_TRUNCATED;
    end

    esp_rx_hash #(.LOG2_B(LOG2_B)) hash (.clk(clk), .en(v3), .spi(spi3), .place(d_places));

    always @(posedge clk) begin
        d_valid <= v3 && !rst;
        if (v3) begin
            d_tag <= tag3;
            d_status <= status[4:0];
            d_udp <= udp3;
            d_tos <= tos3;
            d_id <= id3;
            d_flags <= keep3;
            d_ttl <= ttl3;
            d_sum <= check3;
            d_src <= src3;
            d_dst <= dst3;
            d_sport <= sport3;
            d_dport <= dport3;
            d_spi <= spi3;
            d_seq <= seq3;
            d_iv <= iv3;
            d_words <= {1'b0, ihl3} + (udp3 ? 5'd6 : 5'd4);
            d_bytes <= esp_len3 - 16'd32;
            d_short <= esp_len3 < 16'd36 || esp_len3[1:0] != 2'd0;
        end
    end
endmodule

`default_nettype wire
