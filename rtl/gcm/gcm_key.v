// SPDX-License-Identifier: Apache-2.0
// The background half of the AES-GCM core: turns a key into its schedule and its powers of H, and writes them
// to the RAM slices that the data path reads (FIPS 197, section 5.2; NIST SP 800-38D, section 6.3). It also
// overwrites one slot, or all of them. It owns the slices' write ports alone, so no beat ever waits for it.
//
// Latency of an add: 17 + 33 * (POWERS - 1) + 2 cycles at the most. One command at a time; `key` goes before
// `clr`. Byte n of the key is in bits 8n+7:8n. Powers are written as big-endian numbers (see ghash_fn.vh).
// Contract: `key_done` and `clr_done` are single pulses, after the last write. A slot is zeroed before a new
// key goes in. `zeroize` aborts any command (its done pulse never comes), holds `wipe` through a sweep of all
// slots, then shows `zeroize_done` until `zeroize` is low again (one cycle if it was a pulse). Nothing of a
// key stays in this unit's registers after a done.
`default_nettype none

module gcm_key #(
    // log2 of the number of slots
    parameter LOG2_SA = 10,
    // powers of H stored for a slot, H^1 .. H^POWERS
    parameter POWERS = 2
) (
    input  wire               clk,
    input  wire               rst,

    input  wire               key_valid,
    output wire               key_ready,
    input  wire [LOG2_SA-1:0] key_sa,
    input  wire [255:0]       key,
    input  wire               key_256,
    output reg                key_done,

    input  wire               clr_valid,
    output wire               clr_ready,
    input  wire [LOG2_SA-1:0] clr_sa,
    output reg                clr_done,

    input  wire               zeroize,
    output wire               zeroize_done,

    // write side of the slices; `scrub` clears idle key registers once, `wipe` says that the sweep is on
    output wire               scrub,
    output wire               wipe,
    output wire [14:0]        wr_round,
    output wire [POWERS-1:0]  wr_power,
    output wire               wr_mode,
    output wire [LOG2_SA-1:0] wr_addr,
    output wire [127:0]       wr_data,
    output wire               wr_is256
);
    `include "ghash_fn.vh"

    localparam [2:0] IDLE = 3'd0, PREP = 3'd1, EXPAND = 3'd2, STORE = 3'd3, MULTIPLY = 3'd4, CLEAR = 3'd5,
                     SWEEP = 3'd6, SWEPT = 3'd7;
    // the sweep also outlasts every delay line of the data path
    localparam SWEEP_BITS = (LOG2_SA < 6) ? 6 : LOG2_SA;
    localparam [2:0] LAST_POWER = POWERS[2:0] - 3'd1;

    reg [2:0] state;
    reg [LOG2_SA-1:0] addr;
    reg is256;
    reg [3:0] round;
    reg [7:0] rcon;
    // round key to write now, and for AES-256 the one after it
    reg [127:0] rk;
    reg [127:0] rk_after;
    reg [2:0] power;
    reg [127:0] h;
    reg [127:0] product;
    reg [127:0] factor;
    reg [4:0] digit;
    reg [SWEEP_BITS-1:0] sweep;

    // next round key: four words chained from the one that lies a key length back
    wire [31:0] last_word = is256 ? rk_after[127:96] : rk[127:96];
    wire rotate = !is256 || !round[0];
    wire [31:0] sub;
    aes_subword subword (.d(rotate ? {last_word[7:0], last_word[31:8]} : last_word), .q(sub));
    wire [31:0] w0 = rk[31:0] ^ sub ^ {24'd0, rotate ? rcon : 8'd0};
    wire [31:0] w1 = rk[63:32] ^ w0;
    wire [31:0] w2 = rk[95:64] ^ w1;
    wire [31:0] w3 = rk[127:96] ^ w2;
    wire [127:0] rk_next = {w3, w2, w1, w0};

    // H = E(K, 0): the round keys go through one round unit as they are made
    wire last_round = (round == (is256 ? 4'd14 : 4'd10));
    wire [127:0] block;
    wire [127:0] h_first = gf_swap(block);
    aes_round hash_key (
        .clk(clk), .en(state == EXPAND), .scrub(scrub),
        .mode(round == 4'd0 ? 2'd1 : {1'b1, last_round}),
        .d(round == 4'd0 ? 128'd0 : block), .k(rk), .q(block)
    );

    // four bits of a serial multiplication by H, highest coefficient first
    function [127:0] times_x4;
        input [127:0] acc;
        input [127:0] by;
        input [3:0]   bits;
        integer i;
        begin
            times_x4 = acc;
            for (i = 0; i < 4; i = i + 1)
                times_x4 = {1'b0, times_x4[127:1]} ^ {times_x4[0] ? 8'he1 : 8'h00, 120'd0}
                         ^ (bits[i] ? by : 128'd0);
        end
    endfunction

    wire idle = (state == IDLE) && !zeroize;
    assign key_ready = idle;
    assign clr_ready = idle && !key_valid;
    assign zeroize_done = (state == SWEPT);
    assign wipe = (state == SWEEP);
    assign scrub = key_done || clr_done || wipe;

    wire [127:0] power_now = (power == 3'd0) ? h_first : product;
    wire wr_all = (state == PREP) || (state == CLEAR) || (state == SWEEP);
    assign wr_round = {15{wr_all}} | ({14'd0, state == EXPAND} << (is256 ? round : round + 4'd4));
    assign wr_power = {POWERS{wr_all}} | ({{POWERS-1{1'b0}}, state == STORE} << power);
    assign wr_mode = wr_all;
    assign wr_is256 = is256 && (state == PREP);
    assign wr_addr = (state == SWEEP) ? sweep[LOG2_SA-1:0] : addr;
    assign wr_data = (state == EXPAND) ? rk : (state == STORE) ? power_now : 128'd0;

    always @(posedge clk) begin
        key_done <= 1'b0;
        clr_done <= 1'b0;
        case (state)
            IDLE: begin
                round <= 4'd0;
                rcon <= 8'h01;
                power <= 3'd0;
                sweep <= {SWEEP_BITS{1'b0}};
                if (key_valid) begin
                    addr <= key_sa;
                    is256 <= key_256;
                    rk <= key[127:0];
                    rk_after <= key[255:128];
                    state <= PREP;
                end else if (clr_valid) begin
                    addr <= clr_sa;
                    state <= CLEAR;
                end
            end
            PREP:
                state <= EXPAND;
            EXPAND: begin
                round <= round + 4'd1;
                rk <= is256 ? rk_after : rk_next;
                rk_after <= rk_next;
                if (rotate)
                    rcon <= {rcon[6:0], 1'b0} ^ (rcon[7] ? 8'h1b : 8'h00);
                if (last_round)
                    state <= STORE;
            end
            STORE: begin
                if (power == 3'd0)
                    h <= h_first;
                factor <= power_now;
                product <= 128'd0;
                digit <= 5'd0;
                power <= power + 3'd1;
                key_done <= (power == LAST_POWER);
                state <= (power == LAST_POWER) ? IDLE : MULTIPLY;
            end
            MULTIPLY: begin
                product <= times_x4(product, h, factor[3:0]);
                factor <= {4'd0, factor[127:4]};
                digit <= digit + 5'd1;
                if (digit == 5'd31)
                    state <= STORE;
            end
            CLEAR: begin
                clr_done <= 1'b1;
                state <= IDLE;
            end
            SWEEP: begin
                sweep <= sweep + 1'b1;
                if (&sweep)
                    state <= SWEPT;
            end
            SWEPT:
                if (!zeroize)
                    state <= IDLE;
            default:
                state <= IDLE;
        endcase

        if (zeroize && state != SWEEP && state != SWEPT) begin
            key_done <= 1'b0;
            clr_done <= 1'b0;
            sweep <= {SWEEP_BITS{1'b0}};
            state <= SWEEP;
        end
        if (scrub) begin
            h <= 128'd0;
            product <= 128'd0;
            factor <= 128'd0;
            if (wipe || !key_valid) begin
                rk <= 128'd0;
                rk_after <= 128'd0;
            end
        end
        if (rst) begin
            state <= IDLE;
            key_done <= 1'b0;
            clr_done <= 1'b0;
        end
    end
endmodule

`default_nettype wire
