// SPDX-License-Identifier: Apache-2.0
// One encrypting and one decrypting AES-GCM core behind the same ports, so that the workbench checks both of them with
// one Verilated model. Every key goes to both cores; in_dec says which one takes the beat. LANES is 1.
// Latency and initiation interval are those of gcm_core; both cores have the same latency, so outputs never collide.
`default_nettype none

module gcm_pair #(
    // log2 of the number of key slots
    parameter LOG2_SA = 4
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               key_valid,
    output wire               key_ready,
    input  wire [LOG2_SA-1:0] key_sa,
    input  wire [255:0]       key,
    input  wire               key_256,
    output wire [1:0]         key_done,
    input  wire               zeroize,
    output wire [1:0]         zeroize_done,
    input  wire               in_dec,
    input  wire               in_valid,
    input  wire               in_sop,
    input  wire               in_eop,
    input  wire [LOG2_SA-1:0] in_sa,
    input  wire [95:0]        in_nonce,
    input  wire [127:0]       in_aad,
    input  wire [4:0]         in_aad_len,
    input  wire [127:0]       in_data,
    input  wire [6:0]         in_bytes,
    output wire               out_valid,
    output wire [127:0]       out_data,
    output wire [6:0]         out_bytes,
    output wire               tag_valid,
    output wire [127:0]       tag
);
    wire [1:0] ready;
    wire [1:0] valid;
    wire [1:0] tags;
    wire [127:0] data0;
    wire [127:0] data1;
    wire [6:0] bytes0;
    wire [6:0] bytes1;
    wire [127:0] tag0;
    wire [127:0] tag1;

    assign key_ready = &ready;
    assign out_valid = |valid;
    assign out_data = valid[1] ? data1 : data0;
    assign out_bytes = valid[1] ? bytes1 : bytes0;
    assign tag_valid = |tags;
    assign tag = tags[1] ? tag1 : tag0;

    // a clear is never asked for and the packet marks are not needed: the model runs one message at a time
    /* verilator lint_off PINCONNECTEMPTY */
    gcm_core #(.LANES(1), .LOG2_SA(LOG2_SA), .ENC(1), .META_W(1)) enc (
        .clk(clk), .rst(rst),
        .key_valid(key_valid && key_ready), .key_ready(ready[0]), .key_sa(key_sa), .key(key), .key_256(key_256),
        .key_done(key_done[0]),
        .clr_valid(1'b0), .clr_ready(), .clr_sa({LOG2_SA{1'b0}}), .clr_done(),
        .zeroize(zeroize), .zeroize_done(zeroize_done[0]),
        .in_valid(in_valid && !in_dec), .in_sop(in_sop), .in_eop(in_eop), .in_sa(in_sa), .in_nonce(in_nonce),
        .in_aad(in_aad), .in_aad_len(in_aad_len), .in_data(in_data), .in_bytes(in_bytes), .in_meta(1'b0),
        .out_valid(valid[0]), .out_sop(), .out_eop(), .out_data(data0), .out_bytes(bytes0), .out_meta(),
        .tag_valid(tags[0]), .tag(tag0), .tag_meta()
    );

    gcm_core #(.LANES(1), .LOG2_SA(LOG2_SA), .ENC(0), .META_W(1)) dec (
        .clk(clk), .rst(rst),
        .key_valid(key_valid && key_ready), .key_ready(ready[1]), .key_sa(key_sa), .key(key), .key_256(key_256),
        .key_done(key_done[1]),
        .clr_valid(1'b0), .clr_ready(), .clr_sa({LOG2_SA{1'b0}}), .clr_done(),
        .zeroize(zeroize), .zeroize_done(zeroize_done[1]),
        .in_valid(in_valid && in_dec), .in_sop(in_sop), .in_eop(in_eop), .in_sa(in_sa), .in_nonce(in_nonce),
        .in_aad(in_aad), .in_aad_len(in_aad_len), .in_data(in_data), .in_bytes(in_bytes), .in_meta(1'b0),
        .out_valid(valid[1]), .out_sop(), .out_eop(), .out_data(data1), .out_bytes(bytes1), .out_meta(),
        .tag_valid(tags[1]), .tag(tag1), .tag_meta()
    );
    /* verilator lint_on PINCONNECTEMPTY */
endmodule

`default_nettype wire
