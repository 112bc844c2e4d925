// SPDX-License-Identifier: Apache-2.0
// Registered multiplication in GHASH's field without reduction, for products that do not wait for each other:
// the lanes before the last, and the tail.
// Latency 1 cycle, initiation interval 1. Operands as in ghash_fn.vh.
// Contract: `p` changes only when `en` is set, or, with `en` clear, when `scrub` is set (to zero).
`default_nettype none

module ghash_mul (
    input  wire         clk,
    input  wire         en,
    input  wire         scrub,
    input  wire [127:0] a,
    input  wire [127:0] b,
    output reg  [254:0] p
);
    /* verilator no_inline_module */
    `include "ghash_fn.vh"

    always @(posedge clk) begin
        if (en)
            p <= gf_mul128(a, b);
        else if (scrub)
            p <= 255'd0;
    end
endmodule

`default_nettype wire
