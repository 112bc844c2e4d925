// SPDX-License-Identifier: Apache-2.0
// Test bench top: one encrypting and one decrypting AES-GCM core with common keys and packet framing, so that
// one model checks both directions. The cores themselves are in rtl/gcm.
`default_nettype none

module gcm_pair #(
    parameter LANES = 1,
    parameter LOG2_SA = 8
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 key_valid,
    output wire                 key_ready,
    input  wire [LOG2_SA-1:0]   key_sa,
    input  wire [255:0]         key,
    input  wire                 key_256,
    output wire                 key_done,
    input  wire                 clr_valid,
    output wire                 clr_ready,
    input  wire [LOG2_SA-1:0]   clr_sa,
    output wire                 clr_done,
    input  wire                 zeroize,
    output wire                 zeroize_done,
    input  wire                 in_valid,
    input  wire                 in_sop,
    input  wire                 in_eop,
    input  wire [LOG2_SA-1:0]   in_sa,
    input  wire [95:0]          in_nonce,
    input  wire [127:0]         in_aad,
    input  wire [4:0]           in_aad_len,
    input  wire [128*LANES-1:0] in_plain,
    input  wire [128*LANES-1:0] in_cipher,
    input  wire [6:0]           in_bytes,
    input  wire [31:0]          in_meta,
    // index 0 encrypts, 1 decrypts
    output wire [1:0]           out_valid,
    output wire [1:0]           out_sop,
    output wire [1:0]           out_eop,
    output wire [128*LANES-1:0] out_cipher,
    output wire [128*LANES-1:0] out_plain,
    output wire [13:0]          out_bytes,
    output wire [63:0]          out_meta,
    output wire [1:0]           tag_valid,
    output wire [127:0]         tag_enc,
    output wire [127:0]         tag_dec,
    output wire [63:0]          tag_meta
);
    wire [1:0] key_ready_i;
    wire [1:0] key_done_i;
    wire [1:0] clr_ready_i;
    wire [1:0] clr_done_i;
    wire [1:0] zeroize_done_i;
    assign key_ready = &key_ready_i;
    assign key_done = &key_done_i;
    assign clr_ready = &clr_ready_i;
    assign clr_done = &clr_done_i;
    assign zeroize_done = &zeroize_done_i;

    wire [128*LANES-1:0] in_data [0:1];
    wire [128*LANES-1:0] out_data [0:1];
    wire [127:0] tag [0:1];
    assign in_data[0] = in_plain;
    assign in_data[1] = in_cipher;
    assign out_cipher = out_data[0];
    assign out_plain = out_data[1];
    assign tag_enc = tag[0];
    assign tag_dec = tag[1];

    genvar i;
    generate
        for (i = 0; i < 2; i = i + 1) begin : core
            gcm_core #(.LANES(LANES), .LOG2_SA(LOG2_SA), .ENC(1 - i), .META_W(32)) gcm (
                .clk(clk), .rst(rst),
                .key_valid(key_valid), .key_ready(key_ready_i[i]), .key_sa(key_sa), .key(key),
                .key_256(key_256),
                .key_done(key_done_i[i]), .clr_valid(clr_valid), .clr_ready(clr_ready_i[i]), .clr_sa(clr_sa),
                .clr_done(clr_done_i[i]), .zeroize(zeroize), .zeroize_done(zeroize_done_i[i]),
                .in_valid(in_valid), .in_sop(in_sop), .in_eop(in_eop), .in_sa(in_sa), .in_nonce(in_nonce),
                .in_aad(in_aad), .in_aad_len(in_aad_len), .in_data(in_data[i]), .in_bytes(in_bytes),
                .in_meta(in_meta),
                .out_valid(out_valid[i]), .out_sop(out_sop[i]), .out_eop(out_eop[i]), .out_data(out_data[i]),
                .out_bytes(out_bytes[7*i +: 7]), .out_meta(out_meta[32*i +: 32]),
                .tag_valid(tag_valid[i]), .tag(tag[i]), .tag_meta(tag_meta[32*i +: 32])
            );
        end
    endgenerate
endmodule

`default_nettype wire
