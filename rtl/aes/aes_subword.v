// SPDX-License-Identifier: Apache-2.0
// SubWord of the AES key expansion (FIPS 197, section 5.2): the S-box on four bytes. Combinational, used
// once, by the key unit.
`default_nettype none

module aes_subword (
    input  wire [31:0] d,
    output wire [31:0] q
);
    `include "aes_sbox.vh"

    assign q = {rom[d[31:24]], rom[d[23:16]], rom[d[15:8]], rom[d[7:0]]};
endmodule

`default_nettype wire
