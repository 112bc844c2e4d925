// SPDX-License-Identifier: Apache-2.0
// Where an SPI may sit in the inbound SPI table: one place in each of the four ways, by four independent
// hashes (the halves of CRC-32 and CRC-32C of the SPI), so that SPIs that meet in one way part in the next.
//
// Some SPIs find all four of their places taken, and such an SA is refused (BUCKET_FULL). Counted in software over
// random SPIs, 1,024 SAs at all times, one after another replaced: one add in 1,800 with 1,024 places in a way, none
// in 4,000,000 with 2,048 (LOG2_B = LOG2_SA + 1, the default: 4 x 2,048 x 75 bits are 18 BRAM36, with 1,024 10).
//
// Latency 1 cycle, initiation interval 1.
// Contract: `place` changes only after `en`. Inbound SPIs are chosen by our own side, never by the peer, so
// nobody can aim at one place.
`default_nettype none

module esp_rx_hash #(
    // log2 of the places in a way, at most 16
    parameter LOG2_B = 10
) (
    input  wire                clk,
    input  wire                en,
    input  wire [31:0]         spi,
    // place in way w in bits w*LOG2_B+LOG2_B-1 : w*LOG2_B
    output reg  [4*LOG2_B-1:0] place
);
    // The CRC of 32 bits: linear in them, so bit b of it is the parity of those bits i whose own CRC (of 1 << i) has bit b.
    // Written so, each is a tree of its own; the 32 steps one behind the other would be a chain to the mapper.
    function [31:0] crc;
        input [31:0] v;
        input [31:0] poly;
        integer i;
        begin
            crc = v;
            for (i = 0; i < 32; i = i + 1)
                crc = {1'b0, crc[31:1]} ^ (poly & {32{crc[0]}});
        end
    endfunction

    function [31:0] inputs;
        input integer b;
        input [31:0] poly;
        integer i;
        for (i = 0; i < 32; i = i + 1)
            inputs[i] = (crc(32'd1 << i, poly) & (32'd1 << b)) != 32'd0;
    endfunction

    wire [4*LOG2_B-1:0] places;
    genvar g;
    generate
        for (g = 0; g < 4 * LOG2_B; g = g + 1) begin : g_place
            localparam [31:0] INPUTS = inputs((g / LOG2_B) % 2 * 16 + g % LOG2_B,
                                              (g < 2 * LOG2_B) ? 32'hedb88320 : 32'h82f63b78);
            assign places[g] = ^(spi & INPUTS);
        end
    endgenerate

    always @(posedge clk)
        if (en)
            place <= places;
endmodule

`default_nettype wire
