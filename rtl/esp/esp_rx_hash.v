// SPDX-License-Identifier: Apache-2.0
// The bucket of an SPI in the inbound SPI table: the SPI folded by exclusive or, so that consecutive SPIs fill different
// buckets. Combinational. Inbound SPIs are chosen by our own side, never by the peer.
`default_nettype none

module esp_rx_hash #(
    // log2 of the number of buckets, at most 16
    parameter LOG2_B = 9
) (
    input  wire [31:0]       spi,
    output wire [LOG2_B-1:0] bucket
);
    wire [63:0] wide = {32'd0, spi};
    assign bucket = wide[LOG2_B-1:0] ^ wide[2*LOG2_B-1:LOG2_B] ^ wide[3*LOG2_B-1:2*LOG2_B];
endmodule

`default_nettype wire
