// SPDX-License-Identifier: Apache-2.0
// Encapsulation, stage 4: the beat builder. Joins each packet's job with its beats, cuts the packet to its length, adds
// padding, pad length and next header (RFC 4303 sections 2.4 to 2.6), and feeds the GCM core one beat a cycle with nonce
// and additional data (RFC 4106 sections 4 and 5).
//
// Latency 1 cycle; a packet whose last beat is full to its last block is followed by the cycle that the core wants to itself
// (see gcm_core), which the egress needs as well. The beats of a refused packet, and what follows the IP length, are
// discarded. Contract: a beat is issued only while `credit` (room behind the core); beats never mix packets; a packet that
// ends before its length is filled with zeros rather than with its successor, and is `bad`. `end_valid` comes for each packet, in
// order, not before its last beat has been taken: only then may it leave the pipeline.
`default_nettype none

module esp_tx_build #(
    parameter LANES = 1,
    parameter LOG2_SA = 10,
    parameter W = 128 * LANES
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               hold,
    input  wire               forget,
    input  wire               credit,

    // one job for each packet; `job_drop`: discard the packet's beats
    input  wire               job_valid,
    output wire               job_ready,
    input  wire               job_drop,
    input  wire [LOG2_SA-1:0] job_sa,
    input  wire [31:0]        job_spi,
    input  wire [63:0]        job_seq,
    input  wire               job_esn,
    input  wire [15:0]        job_len,
    input  wire [15:0]        job_ptlen,
    input  wire [7:0]         job_next,

    input  wire               data_valid,
    output wire               data_ready,
    input  wire [W-1:0]       data,
    input  wire               data_last,
    input  wire               data_bad,
    output reg                end_valid,
    output reg                end_bad,

    // to the core; salt: that of salt_sa, a cycle after salt_read
    output wire               salt_read,
    output wire [LOG2_SA-1:0] salt_sa,
    input  wire [31:0]        salt,
    output reg                in_valid,
    output reg                in_sop,
    output reg                in_eop,
    output reg  [LOG2_SA-1:0] in_sa,
    output wire [95:0]        in_nonce,
    output reg  [127:0]       in_aad,
    output reg  [4:0]         in_aad_len,
    output reg  [W-1:0]       in_data,
    output reg  [6:0]         in_bytes
);
    localparam [31:0] BEAT_BYTES = 16 * LANES;
    localparam [17:0] KB = BEAT_BYTES[17:0];
    localparam LK = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    localparam [31:0] FREE = BEAT_BYTES - 32'd16;
    localparam SW = W + 128;

    function [31:0] be32(input [31:0] x);
        be32 = {x[7:0], x[15:8], x[23:16], x[31:24]};
    endfunction

    // bytes still to come of data (negative once the trailer has begun) and of plaintext
    reg                mid, got_last, got_bad, skip;
    reg  [63:0]        iv;
    reg  signed [17:0] left_data_r;
    reg         [17:0] left_r;
    // after the first beat: data is still to come; this is the last beat. A first beat always comes,
    // though without a payload (transport mode) nothing of it is of use.
    reg                more_r, eop_r;
    wire signed [17:0] left_data = mid ? left_data_r : $signed({2'b00, job_len});
    wire        [17:0] left = mid ? left_r : {2'b00, job_ptlen};

    wire discard = skip || (job_valid && job_drop);
    wire wants = !mid || (more_r && !got_last);
    // the core's own cycle, behind a last beat that leaves none of its lanes free
    reg pause;
    wire no_lane_free = left[LK] || left[LK-1:0] > FREE[LK-1:0];
    wire issue = job_valid && !job_drop && !skip && credit && !hold && !pause && (!wants || data_valid);
    // Comparisons with a beat (a power of two) and two of them are written as what they are: tests of a few bits, no carries.
    wire first_eop = job_ptlen[15:LK] == {16-LK{1'b0}} ||
                     (job_ptlen[15:LK+1] == {15-LK{1'b0}} && job_ptlen[LK-1:0] == {LK{1'b0}});
    wire eop = mid ? eop_r : first_eop;
    wire pop = issue && wants;
    assign data_ready = discard ? !hold : pop;
    wire last_now = data_valid && data_ready && data_last;
    // a refused packet's job goes with its last beat
    assign job_ready = job_drop ? (last_now && !skip) : (issue && eop);

    assign salt_read = issue;
    assign salt_sa = job_sa;
    assign in_nonce = {iv, salt};

    // data up to the job's length, then 1, 2, 3, pad length, next header
    wire [15:0] pad_wide = job_ptlen - job_len - 16'd2;
    wire [1:0]  pad = pad_wide[1:0];
    reg  [39:0] trailer;
    always @* begin
        case (pad)
            2'd0:    trailer = {24'd0, job_next, 8'd0};
            2'd1:    trailer = {16'd0, job_next, 16'h0101};
            2'd2:    trailer = {8'd0, job_next, 24'h020201};
            default: trailer = {job_next, 32'h03030201};
        endcase
    end
    wire          none = left_data[17];
    wire          full = !none && left_data[16:LK] != {17-LK{1'b0}};
    wire          just_one = left_data[16:LK] == {{16-LK{1'b0}}, 1'b1} && left_data[LK-1:0] == {LK{1'b0}};
    wire [W-1:0]  mask = full ? {W{1'b1}} : none ? {W{1'b0}} : ~({W{1'b1}} << {left_data[LK-1:0], 3'd0});
    // less than a beat is left, or the trailer's 5 bytes began up to 7 bytes before this beat
    wire          has_trailer = !full && (!none || (&left_data[16:3] && left_data[2:0] != 3'd0));
    wire [LK:0]   at = {left_data[LK:3] + 1'b1, left_data[2:0]};
    wire [SW-1:0] placed = {{SW-40{1'b0}}, trailer} << {at, 3'd0};
    wire [W-1:0]  text = ((wants ? data : {W{1'b0}}) & mask) | (has_trailer ? placed[W+63:64] : {W{1'b0}});

    always @(posedge clk) begin
        in_valid <= issue && !rst;
        pause <= issue && eop && no_lane_free && !rst;
        if (issue) begin
            in_sop <= !mid;
            in_eop <= eop;
            in_sa <= job_sa;
            iv <= {be32(job_seq[31:0]), be32(job_seq[63:32])};
            in_aad <= job_esn ? {32'd0, be32(job_seq[31:0]), be32(job_seq[63:32]), be32(job_spi)}
                              : {64'd0, be32(job_seq[31:0]), be32(job_spi)};
            in_aad_len <= job_esn ? 5'd12 : 5'd8;
            in_data <= text;
            in_bytes <= eop ? left[6:0] : KB[6:0];
            left_data_r <= left_data - $signed(KB);
            left_r <= left - KB;
            more_r <= full && !just_one;
            eop_r <= left[17:LK+1] == {17-LK{1'b0}} || (left[17:LK+2] == {16-LK{1'b0}} && left[LK:0] == {LK+1{1'b0}});
            mid <= !eop;
        end else if (forget) begin
            iv <= 64'd0;
            in_data <= {W{1'b0}};
        end
        // a packet longer than its job leaves beats behind
        if (issue) begin
            got_last <= !eop && (got_last || last_now);
            got_bad <= last_now ? data_bad : got_last && got_bad;
        end
        end_valid <= (last_now && (discard || (issue && eop))) || (issue && eop && got_last);
        end_bad <= last_now ? data_bad : got_bad;
        if (skip)
            skip <= !last_now;
        else if (issue && eop)
            skip <= !got_last && !last_now;
        if (rst) begin
            mid <= 1'b0;
            got_last <= 1'b0;
            skip <= 1'b0;
            end_valid <= 1'b0;
        end
    end

    /* verilator lint_off UNUSED */ // bits that the shifts never reach
    wire unused = &{1'b0, pad_wide[15:2], placed[SW-1:W+64], placed[63:0]};
    /* verilator lint_on UNUSED */
endmodule

`default_nettype wire
