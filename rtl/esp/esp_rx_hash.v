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

    function [4*LOG2_B-1:0] places;
        /* verilator lint_off UNUSEDSIGNAL */ // narrow tables leave bits over
        input [31:0] a;
        input [31:0] b;
        /* verilator lint_on UNUSEDSIGNAL */
        places = {b[16 +: LOG2_B], b[0 +: LOG2_B], a[16 +: LOG2_B], a[0 +: LOG2_B]};
    endfunction

    always @(posedge clk)
        if (en)
            place <= places(crc(spi, 32'hedb88320), crc(spi, 32'h82f63b78));
endmodule

`default_nettype wire
