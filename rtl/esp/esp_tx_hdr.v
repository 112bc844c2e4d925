// SPDX-License-Identifier: Apache-2.0
// Encapsulation, stage 3: the outer header, that is IPv4 (RFC 791; RFC 6040 normal mode and RFC 4301 section 5.1.2.1 for its
// fields), UDP (RFC 3948), SPI, sequence number (RFC 4303) and initialization vector (RFC 4106).
//
// Latency 3 cycles, initiation interval 1. `hdr` holds 64 bytes, room for IPv6 and UDP, byte n in bits 8n+7:8n, zeros
// behind the header. Fields are numbers, addresses and salt are in wire order (first octet in bits 7:0).
`default_nettype none

module esp_tx_hdr (
    input  wire         clk,
    input  wire         rst,
    input  wire         in_valid,
    input  wire [63:0]  in_seq,
    input  wire [15:0]  in_id,
    input  wire [15:0]  in_outlen,
    input  wire [7:0]   in_tos,
    input  wire         in_rsv,
    input  wire         in_df,
    input  wire         in_udp,
    input  wire [31:0]  in_spi,
    input  wire [31:0]  in_src,
    input  wire [31:0]  in_dst,
    input  wire [15:0]  in_sport,
    input  wire [15:0]  in_dport,
    input  wire [7:0]   in_ttl,
    output reg          out_valid,
    output reg  [511:0] hdr
);
    // a number in wire order, most significant octet first
    function [15:0] be16(input [15:0] x);
        be16 = {x[7:0], x[15:8]};
    endfunction
    function [31:0] be32(input [31:0] x);
        be32 = {x[7:0], x[15:8], x[23:16], x[31:24]};
    endfunction

    // IPv4 without its checksum, summed over 16-bit words in stages 1 and 2, folded in 2 and 3
    wire [7:0] proto = in_udp ? 8'd17 : 8'd50;
    wire [63:0] udp = {16'd0, be16(in_outlen - 16'd20), be16(in_dport), be16(in_sport)};
    wire [127:0] esp = {be32(in_seq[31:0]), be32(in_seq[63:32]), be32(in_seq[31:0]), be32(in_spi)};

    reg         s1_valid, s1_udp, s2_valid, s2_udp;
    reg [18:0]  s1_sum_a, s1_sum_b;
    reg [16:0]  s2_fold;
    reg [143:0] s1_ip, s2_ip; // without the checksum
    reg [63:0]  s1_udp_hdr, s2_udp_hdr;
    reg [127:0] s1_esp, s2_esp;
    wire [19:0] s1_sum = {1'b0, s1_sum_a} + {1'b0, s1_sum_b};
    wire [15:0] folded = s2_fold[15:0] + {15'd0, s2_fold[16]};
    wire [159:0] ip = {s2_ip[143:80], be16(~folded), s2_ip[79:0]};

    always @(posedge clk) begin
        s1_valid <= in_valid && !rst;
        if (in_valid) begin
            s1_udp <= in_udp;
            s1_sum_a <= {3'd0, 8'h45, in_tos} + {3'd0, in_outlen} + {3'd0, in_id} + {3'd0, in_rsv, in_df, 14'd0};
            s1_sum_b <= {3'd0, in_ttl, proto} + {3'd0, be16(in_src[15:0])} + {3'd0, be16(in_src[31:16])}
                        + {3'd0, be16(in_dst[15:0])} + {3'd0, be16(in_dst[31:16])};
            s1_ip <= {in_dst, in_src, proto, in_ttl, 8'd0, in_rsv, in_df, 6'd0, be16(in_id), be16(in_outlen),
                      in_tos, 8'h45};
            s1_udp_hdr <= udp;
            s1_esp <= esp;
        end
        s2_valid <= s1_valid && !rst;
        if (s1_valid) begin
            s2_udp <= s1_udp;
            s2_fold <= {1'b0, s1_sum[15:0]} + {13'd0, s1_sum[19:16]};
            s2_ip <= s1_ip;
            s2_udp_hdr <= s1_udp_hdr;
            s2_esp <= s1_esp;
        end
        out_valid <= s2_valid && !rst;
        if (s2_valid)
            hdr <= s2_udp ? {160'd0, s2_esp, s2_udp_hdr, ip} : {224'd0, s2_esp, ip};
    end
endmodule

`default_nettype wire
