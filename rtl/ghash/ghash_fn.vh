// SPDX-License-Identifier: Apache-2.0
// Arithmetic in GHASH's field (NIST SP 800-38D, section 6.3) as Verilog functions, included by the modules
// that need it. A block is held as the big-endian number of its 16 bytes: bit 127 is the coefficient of x^0.
// In this mirrored order a plain carry-less product has coefficient x^j in bit 254-j, and neither multiply
// nor reduce has to reverse bits.
/* verilator lint_off UNUSEDSIGNAL */
/* verilator lint_off BLKSEQ */ // a function's locals: Verilator 5.032 takes them for registers in clocked code

function [31:0] gf_mul16;
    input [15:0] fa;
    input [15:0] fb;
    integer i;
    begin
        gf_mul16 = 32'd0;
        for (i = 0; i < 16; i = i + 1)
            gf_mul16 = gf_mul16 ^ ({32{fb[i]}} & ({16'd0, fa} << i));
    end
endfunction

// From here on Karatsuba: three products of halves for four
function [63:0] gf_mul32;
    input [31:0] fa;
    input [31:0] fb;
    reg [31:0] lo;
    reg [31:0] hi;
    reg [31:0] mid;
    begin
        lo = gf_mul16(fa[15:0], fb[15:0]);
        hi = gf_mul16(fa[31:16], fb[31:16]);
        mid = gf_mul16(fa[15:0] ^ fa[31:16], fb[15:0] ^ fb[31:16]) ^ lo ^ hi;
        gf_mul32 = {hi[31:16], hi[15:0] ^ mid[31:16], lo[31:16] ^ mid[15:0], lo[15:0]};
    end
endfunction

function [127:0] gf_mul64;
    input [63:0] fa;
    input [63:0] fb;
    reg [63:0] lo;
    reg [63:0] hi;
    reg [63:0] mid;
    begin
        lo = gf_mul32(fa[31:0], fb[31:0]);
        hi = gf_mul32(fa[63:32], fb[63:32]);
        mid = gf_mul32(fa[31:0] ^ fa[63:32], fb[31:0] ^ fb[63:32]) ^ lo ^ hi;
        gf_mul64 = {hi[63:32], hi[31:0] ^ mid[63:32], lo[63:32] ^ mid[31:0], lo[31:0]};
    end
endfunction

// 128 x 128 -> 255 bits, not reduced
function [254:0] gf_mul128;
    input [127:0] fa;
    input [127:0] fb;
    reg [127:0] lo;
    reg [127:0] hi;
    reg [127:0] mid;
    begin
        lo = gf_mul64(fa[63:0], fb[63:0]);
        hi = gf_mul64(fa[127:64], fb[127:64]);
        mid = gf_mul64(fa[63:0] ^ fa[127:64], fb[63:0] ^ fb[127:64]) ^ lo ^ hi;
        gf_mul128 = {hi[126:64], hi[63:0] ^ mid[127:64], lo[127:64] ^ mid[63:0], lo[63:0]};
    end
endfunction

// modulo x^128 + x^7 + x^2 + x + 1; `v` holds x^128.. in bit 127 downwards, `u` also what a first fold would
// lose
function [127:0] gf_reduce;
    input [254:0] fp;
    reg [127:0] v;
    reg [127:0] u;
    begin
        v = {fp[126:0], 1'b0};
        u = {v[127] ^ v[0] ^ v[1] ^ v[6], v[126] ^ v[0] ^ v[5], v[125] ^ v[4], v[124] ^ v[3], v[123] ^ v[2],
             v[122] ^ v[1], v[121] ^ v[0], v[120:0]};
        gf_reduce = fp[254:127] ^ u ^ (u >> 1) ^ (u >> 2) ^ (u >> 7);
    end
endfunction

// bus order (byte 0 in the low bits) to big-endian number and back
function [127:0] gf_swap;
    input [127:0] fd;
    integer i;
    begin
        for (i = 0; i < 16; i = i + 1)
            gf_swap[8*i +: 8] = fd[8*(15-i) +: 8];
    end
endfunction
/* verilator lint_on BLKSEQ */
/* verilator lint_on UNUSEDSIGNAL */
