// SPDX-License-Identifier: Apache-2.0
// The GHASH accumulator: one multiplier by a power of H in feedback, one reduction, one beat a cycle for
// ever.
//
// z' = reduce((first ? start : z) * h + lanes) + last, where `lanes` is the unreduced sum of the beat's other
// products and `last` its final block, which needs no product. The last beat of a message selects h = H^m for
// its m blocks.
// Latency 1 cycle, initiation interval 1.
// Contract: `z` changes only when `en` or `scrub` is set; the unmultiplied start makes the additional data
// block cost no beat.
`default_nettype none

module ghash_acc (
    input  wire         clk,
    input  wire         en,
    input  wire         scrub,
    input  wire         first,
    input  wire [127:0] start,
    input  wire [127:0] h,
    input  wire [254:0] lanes,
    input  wire [127:0] last,
    output reg  [127:0] z
);
    /* verilator no_inline_module */
    `include "ghash_fn.vh"

    always @(posedge clk) begin
        if (en)
            z <= gf_reduce(gf_mul128(first ? start : z, h) ^ lanes) ^ last;
        else if (scrub)
            z <= 128'd0;
    end
endmodule

`default_nettype wire
