// SPDX-License-Identifier: Apache-2.0
// One registered AES encryption round (FIPS 197, section 5.1). MODES says what it ever has to do in the place where it sits: a
// round that has one mode is smaller. Where two are left Yosys maps a choice of all four with fewer LUTs (README).
//
// Latency 1 cycle, initiation interval 1. Byte n of the state is in bits 8n+7:8n, column c is bytes 4c..4c+3.
// Contract: `q` changes only when `en` is set (to the result for `d` and `k`), or, with `en` clear, when
// `scrub` is set (to zero). `k` is aligned with `d`.
`default_nettype none

module aes_round #(
    // bit m: mode m occurs
    parameter [3:0] MODES = 4'b1111
) (
    input  wire         clk,
    // take d and k in this cycle
    input  wire         en,
    // with en clear: forget the result of the last block
    input  wire         scrub,
    // 0 pass the block on, 1 add the key only, 2 middle round, 3 final round (no MixColumns)
    input  wire [1:0]   mode,
    input  wire [127:0] d,
    input  wire [127:0] k,
    output reg  [127:0] q
);
    /* verilator no_inline_module */

    `include "aes_sbox.vh"

    // MixColumns of one column, byte 0 in the low bits: four bytes doubled at once, then added rotated.
    function [31:0] mix_column;
        input [31:0] w;
        reg [31:0] hi;
        reg [31:0] dbl;
        reg [31:0] thrice;
        begin
            hi = (w >> 7) & 32'h01010101;
            dbl = ((w & 32'h7f7f7f7f) << 1) ^ hi ^ (hi << 1) ^ (hi << 3) ^ (hi << 4);
            thrice = dbl ^ w;
            mix_column = dbl ^ {thrice[7:0], thrice[31:8]} ^ {w[15:0], w[31:16]} ^ {w[23:0], w[31:24]};
        end
    endfunction

    function [127:0] mix_columns;
        input [127:0] s;
        input         last;
        begin
            if (last)
                mix_columns = s;
            else
                mix_columns = {mix_column(s[127:96]), mix_column(s[95:64]), mix_column(s[63:32]),
                               mix_column(s[31:0])};
        end
    endfunction

    wire sub = (MODES[1:0] == 2'd0) || (MODES[3:2] != 2'd0 && mode[1]);
    wire last = !MODES[2] || (MODES[3] && mode[0]);
    wire add = !MODES[0] || (MODES[1] && mode[0]);

    // SubBytes and ShiftRows in one listing: byte 4c+r comes from column c+r.
    always @(posedge clk) begin
        if (en) begin
            if (sub)
                q <= mix_columns({
                    rom[d[ 95: 88]], rom[d[ 55: 48]], rom[d[ 15:  8]], rom[d[103: 96]],
                    rom[d[ 63: 56]], rom[d[ 23: 16]], rom[d[111:104]], rom[d[ 71: 64]],
                    rom[d[ 31: 24]], rom[d[119:112]], rom[d[ 79: 72]], rom[d[ 39: 32]],
                    rom[d[127:120]], rom[d[ 87: 80]], rom[d[ 47: 40]], rom[d[  7:  0]]}, last) ^ k;
            else
                q <= add ? d ^ k : d;
        end else if (scrub) begin
            q <= 128'd0;
        end
    end

    wire unused = &{1'b0, mode, 1'b0};
endmodule

`default_nettype wire
