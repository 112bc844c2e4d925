// SPDX-License-Identifier: Apache-2.0
// One AES encryption lane: fifteen stages, one block a cycle, encryption only. The round keys come from
// outside, one for each stage and aligned with the block in that stage, so neighbouring blocks may belong to
// different keys.
//
// Latency 15 cycles, initiation interval 1, no reset (valid bits live outside). Both key sizes end in stage
// 14: an AES-128 block passes stages 0..3 untouched, takes its whitening key in stage 4 and rounds 1..10 in
// stages 5..14. Bit i of `en` says that the block entering stage i is valid; bit i of `is256` is that block's
// key size (0..4 matter).
`default_nettype none

module aes_lane (
    input  wire            clk,
    input  wire            scrub,
    input  wire [14:0]     en,
    input  wire [4:0]      is256,
    input  wire [127:0]    d,
    // round key of stage i in bits 128i+127:128i
    input  wire [15*128-1:0] k,
    output wire [127:0]    q
);
    wire [127:0] b [0:14];

    aes_round #(.MODES(4'b0011)) r0 (.clk(clk), .scrub(scrub), .en(en[0]), .mode({1'b0, is256[0]}), .d(d),
                                     .k(k[0*128 +: 128]), .q(b[0]));
    aes_round r4  (.clk(clk), .scrub(scrub), .en(en[4]),  .mode({is256[4], !is256[4]}), .d(b[3]),
                   .k(k[4*128 +: 128]), .q(b[4]));
    aes_round r14 (.clk(clk), .scrub(scrub), .en(en[14]), .mode(2'd3), .d(b[13]), .k(k[14*128 +: 128]),
    .q(b[14]));

    genvar i;
    generate
        for (i = 1; i < 4; i = i + 1) begin : early
            aes_round r (.clk(clk), .scrub(scrub), .en(en[i]), .mode({is256[i], 1'b0}), .d(b[i-1]),
                         .k(k[i*128 +: 128]), .q(b[i]));
        end
        for (i = 5; i < 14; i = i + 1) begin : late
            aes_round #(.MODES(4'b0100)) r (.clk(clk), .scrub(scrub), .en(en[i]), .mode(2'd2), .d(b[i-1]),
                                            .k(k[i*128 +: 128]), .q(b[i]));
        end
    endgenerate

    assign q = b[14];
endmodule

`default_nettype wire
