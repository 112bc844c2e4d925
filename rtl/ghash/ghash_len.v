// SPDX-License-Identifier: Apache-2.0
// Registered multiplication of GHASH's length block (NIST SP 800-38D, section 7.1, step 5) without reduction: most of its
// bits are always zero, so it takes half of what ghash_mul does.
// Latency 1 cycle, initiation interval 1. `aad` and `text` are lengths in bytes; `h` as in ghash_fn.vh.
// Contract: `p` changes only when `en` is set, or, with `en` clear, when `scrub` is set (to zero).
`default_nettype none

module ghash_len (
    input  wire         clk,
    input  wire         en,
    input  wire         scrub,
    input  wire [4:0]   aad,
    input  wire [31:0]  text,
    input  wire [127:0] h,
    output reg  [254:0] p
);
    /* verilator no_inline_module */
    `include "ghash_fn.vh"

    /* verilator lint_off BLKSEQ */ // a function's locals, see ghash_fn.vh
    // the block is {56'd0, aad, 3'd0, 29'd0, text, 3'd0}
    function [254:0] product;
        input [4:0] fa;
        input [31:0] ft;
        input [127:0] fh;
        reg [159:0] by_text;
        reg [132:0] by_aad;
        integer i;
        begin
            by_text = {96'd0, gf_mul32(ft, fh[31:0])} ^ {64'd0, gf_mul32(ft, fh[63:32]), 32'd0}
                      ^ {32'd0, gf_mul32(ft, fh[95:64]), 64'd0} ^ {gf_mul32(ft, fh[127:96]), 96'd0};
            by_aad = 133'd0;
            for (i = 0; i < 5; i = i + 1)
                by_aad = by_aad ^ ({133{fa[i]}} & ({5'd0, fh} << i));
            product = {92'd0, by_text, 3'd0} ^ {55'd0, by_aad, 67'd0};
        end
    endfunction
    /* verilator lint_on BLKSEQ */

    always @(posedge clk) begin
        if (en)
            p <= product(aad, text, h);
        else if (scrub)
            p <= 255'd0;
    end
endmodule

`default_nettype wire
