// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 4: looks at the decrypted beats on their way into the store, and collects what the
// verdict needs: the start of the inner IPv4 header, the payload's length without padding, the pad length, the next header, and whether the padding
// is 1, 2, 3 ... (RFC 4303 section 2.4). Nothing of this counts before the ICV has been found right.
//
// Latency 5 cycles from a packet's last beat to `i_valid`, as its tag, initiation interval 1: compare each byte with the one
// before, cut at the padding's end, find the last step that does not rise by one, count the steps behind it, compare with the
// pad length. The
// padding may span many beats: kept is the number of neighbouring bytes that rise by one, up to the last one seen; n
// padding bytes are right if the last is n and n - 1 such steps lead to it.
// Contract: the payload is a multiple of four bytes, so pad length, next header and the last padding byte are
// always in the last beat.
`default_nettype none

module esp_rx_check #(
    parameter LANES = 1
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 p_valid,
    input  wire                 p_sop,
    input  wire                 p_eop,
    input  wire [128*LANES-1:0] p_data,
    input  wire [6:0]           p_bytes,

    output reg                  i_valid,
    output reg                  i_pad_ok,
    output reg  [7:0]           i_pad_len,
    output reg  [7:0]           i_next,
    output reg  [7:0]           i_version,
    output reg  [7:0]           i_tos,
    output reg  [15:0]          i_total,
    output reg  [15:0]          i_sum,
    // octets of a packet in transport mode, with a header of 20; these alone where nothing is inside
    output reg  [15:0]          i_whole
);
    localparam KB = 16 * LANES;
    localparam TOP = KB - 1;
    localparam LB = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    localparam [LB-1:0] THREE = {{(LB-2){1'b0}}, 2'd3};

    // ---- stage 1: which bytes rise; the packet's first and last bytes ---------------------------------------
    reg          v1, sop1, eop1;
    reg [KB-1:0] rise1;
    reg [LB-1:0] upto1;       // the last byte of the beat whose step counts: padding, not the two bytes behind it
    reg [7:0]    prior;       // last byte of the beat before
    reg [23:0]   tail1;       // last padding byte, pad length, next header
    reg [47:0]   head1;       // version, TOS, total length, header checksum
    /* verilator lint_off UNUSEDSIGNAL */ // only the word's number is looked at
    wire [6:0]   tail_at = p_bytes - 7'd4;
    /* verilator lint_on UNUSEDSIGNAL */
    reg [15:0]   bytes1;      // of the packet so far
    integer i;

    always @(posedge clk) begin
        v1 <= p_valid && !rst;
        if (p_valid) begin
            sop1 <= p_sop;
            eop1 <= p_eop;
            upto1 <= p_eop ? p_bytes[LB-1:0] - THREE : TOP[LB-1:0];
            rise1[0] <= p_data[7:0] == prior + 8'd1;
            for (i = 1; i < KB; i = i + 1)
                rise1[i] <= p_data[8*i +: 8] == p_data[8*(i-1) +: 8] + 8'd1;
            bytes1 <= (p_sop ? 16'd0 : bytes1) + {9'd0, p_bytes};
            prior <= p_data[8*KB-1 -: 8];
            tail1 <= p_data[{tail_at[LB-1:2], 5'd8} +: 24];
            if (p_sop)
                head1 <= {p_data[7:0], p_data[15:8], p_data[23:16], p_data[31:24], p_data[87:80], p_data[95:88]};
        end
    end

    // ---- stage 2: the steps that do not rise, among those up to `upto` -----------------------------------------
    reg          v2, eop2;
    reg [KB-1:0] breaks2;
    reg [LB-1:0] upto2;
    reg [23:0]   tail2;
    reg [47:0]   head2;
    // octets in front of the padding, in two's complement
    reg [16:0]   inside2;
    wire [KB-1:0] counted = {KB{1'b1}} >> (TOP[LB-1:0] - upto1);
    wire [KB-1:0] breaks = counted & ~{rise1[KB-1:1], rise1[0] && !sop1};
    always @(posedge clk) begin
        v2 <= v1 && !rst;
        if (v1) begin
            eop2 <= eop1;
            breaks2 <= breaks;
            upto2 <= upto1;
            tail2 <= tail1;
            head2 <= head1;
            inside2 <= {1'b0, bytes1} - {9'd0, tail1[15:8]} - 17'd2;
        end
    end

    // ---- stage 3: the last of them: in each eight bytes, and among the eights ------------------------------------
    localparam GROUPS = KB / 8;
    reg          v3, eop3, broken3;
    reg [LB-1:0] at3, upto3;
    reg [23:0]   tail3;
    reg [47:0]   head3;
    reg [15:0]   whole3, whole4;
    reg [GROUPS-1:0] any;
    reg [2:0]    within_group [0:GROUPS-1];
    reg [LB-1:0] at;
    reg          above;
    integer      g;
    integer      b;
    always @* begin
        for (g = 0; g < GROUPS; g = g + 1) begin
            any[g] = breaks2[8*g +: 8] != 8'd0;
            within_group[g] = 3'd0;
            for (b = 1; b < 8; b = b + 1)
                if (breaks2[8*g + b])
                    within_group[g] = b[2:0];
        end
        at = {LB{1'b0}};
        above = 1'b0;
        for (g = GROUPS - 1; g >= 0; g = g - 1) begin
            at = at | ({LB{any[g] && !above}} & {g[LB-4:0], within_group[g]});
            above = above || any[g];
        end
    end

    always @(posedge clk) begin
        v3 <= v2 && !rst;
        if (v2) begin
            eop3 <= eop2;
            broken3 <= any != {GROUPS{1'b0}};
            at3 <= at;
            upto3 <= upto2;
            tail3 <= tail2;
            head3 <= head2;
            // more padding than there is room for; a dummy packet
            whole3 <= (inside2[16] || tail2[23:16] == 8'd59) ? 16'd20 : inside2[15:0] + 16'd20;
        end
    end

    // ---- stage 4: rising steps that end at `upto`, at most 255 -----------------------------------------------
    reg          v4;
    reg [7:0]    steps;
    reg [23:0]   tail4;
    reg [47:0]   head4;
    wire [8:0]   longer = {1'b0, steps} + {{(9-LB){1'b0}}, upto3} + 9'd1;

    always @(posedge clk) begin
        v4 <= v3 && eop3 && !rst;
        if (v3) begin
            steps <= broken3 ? {{(8-LB){1'b0}}, upto3 - at3} : longer[8] ? 8'd255 : longer[7:0];
            tail4 <= tail3;
            head4 <= head3;
            whole4 <= whole3;
        end
    end

    // ---- stage 5: the padding: one step less than its length leads to its last byte -----------------------------
    wire [7:0] pad_len = tail4[15:8];
    always @(posedge clk) begin
        i_valid <= v4 && !rst;
        if (v4) begin
            {i_version, i_tos, i_total, i_sum} <= head4;
            i_next <= tail4[23:16];
            i_pad_len <= pad_len;
            i_whole <= whole4;
            i_pad_ok <= pad_len == 8'd0 || (tail4[7:0] == pad_len && (steps >= pad_len || steps == pad_len - 8'd1));
        end
    end
endmodule

`default_nettype wire
