// SPDX-License-Identifier: Apache-2.0
// Cuts OUT bits out of IN, from a 32-bit word on. ESP headers and payloads are whole words, so bytes never
// have to turn. Combinational: one multiplexer level for each bit of `words`.
`default_nettype none

module esp_rx_shift #(
    parameter IN = 256,
    parameter OUT = 128,
    // bits of `words`
    parameter LS = 2
) (
    input  wire [IN-1:0]  d,
    input  wire [LS-1:0]  words,
    output wire [OUT-1:0] q
);
    /* verilator lint_off UNUSEDSIGNAL */ // the words beyond OUT are cut off
    wire [IN-1:0] moved = d >> {words, 5'd0};
    /* verilator lint_on UNUSEDSIGNAL */
    assign q = moved[OUT-1:0];
endmodule

`default_nettype wire
