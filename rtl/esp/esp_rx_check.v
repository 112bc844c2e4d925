// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 4: looks at the decrypted beats on their way into the store, and collects what the
// verdict needs: the start of the inner IPv4 header, the pad length, the next header, and whether the padding
// is 1, 2, 3 ... (RFC 4303 section 2.4). Nothing of this counts before the ICV has been found right.
//
// Latency 1 cycle from a packet's last beat to `i_valid`, initiation interval 1. The padding may span many
// beats: kept is the number of neighbouring bytes that rise by one, up to the last one seen; n padding bytes
// are right if the last is n and n - 1 such steps lead to it.
// Contract: the payload is a multiple of four bytes, so pad length, next header and the last padding byte are
// always in the last beat.
`default_nettype none

module esp_rx_check #(
    parameter LANES = 1
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 p_valid,
    input  wire                 p_sop,
    input  wire                 p_eop,
    input  wire [128*LANES-1:0] p_data,
    input  wire [6:0]           p_bytes,

    output reg                  i_valid,
    output reg                  i_pad_ok,
    output reg  [7:0]           i_pad_len,
    output reg  [7:0]           i_next,
    output reg  [7:0]           i_version,
    output reg  [7:0]           i_tos,
    output reg  [15:0]          i_total,
    output reg  [15:0]          i_sum
);
    localparam KB = 16 * LANES;
    localparam TOP = KB - 1;
    localparam LB = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;

    localparam [LB-1:0] THREE = {{(LB-2){1'b0}}, 2'd3};

    reg [7:0] prior;      // last byte of the beat before
    reg [7:0] steps;       // rising steps that end there, at most 255

    // last step that does not rise, among those up to `upto`
    wire [LB-1:0] upto = p_eop ? p_bytes[LB-1:0] - THREE : TOP[LB-1:0];
    reg broken;
    reg [LB-1:0] at;
    integer i;
    always @* begin
        broken = p_sop;
        at = {LB{1'b0}};
        if (p_valid) begin
            if (p_data[7:0] != prior + 8'd1)
                broken = 1'b1;
            for (i = 1; i < KB; i = i + 1)
                if (i[LB-1:0] <= upto && p_data[8*i +: 8] != p_data[8*(i-1) +: 8] + 8'd1) begin
                    broken = 1'b1;
                    at = i[LB-1:0];
                end
        end
    end

    wire [8:0] longer = {1'b0, steps} + {{(9-LB){1'b0}}, upto} + 9'd1;
    wire [7:0] steps_now = broken ? {{(8-LB){1'b0}}, upto - at} : longer[8] ? 8'd255 : longer[7:0];

    // the last four bytes: last padding byte, pad length, next header in the upper three
    /* verilator lint_off UNUSEDSIGNAL */ // only 32 bits of it are looked at
    wire [6:0] tail_at = p_bytes - 7'd4;
    /* verilator lint_on UNUSEDSIGNAL */
    wire [23:0] tail = p_data[{tail_at[LB-1:2], 5'd8} +: 24];
    wire [7:0] pad_len = tail[15:8];

    always @(posedge clk) begin
        i_valid <= p_valid && p_eop && !rst;
        if (p_valid) begin
            prior <= p_data[8*KB-1 -: 8];
            steps <= steps_now;
            if (p_sop) begin
                i_version <= p_data[7:0];
                i_tos <= p_data[15:8];
                i_total <= {p_data[23:16], p_data[31:24]};
                i_sum <= {p_data[87:80], p_data[95:88]};
            end
            i_next <= tail[23:16];
            i_pad_len <= pad_len;
            i_pad_ok <= pad_len == 8'd0 || (tail[7:0] == pad_len && steps_now >= pad_len - 8'd1);
        end
    end
endmodule

`default_nettype wire
