// SPDX-License-Identifier: Apache-2.0
// Encapsulation, between the packets' queue and the beat builder: in transport mode the payload begins behind the packet's
// own IPv4 header (RFC 4303 section 3.1.1), so 20 octets are cut off and the beats behind them move up. Packets of tunnels
// pass as they are.
//
// A packet of n beats takes n cycles, without a gap between packets; latency 1 cycle, 2 where a packet's beats are cut from two
// each. Of 16-byte beats the first falls away, and four octets of each pair; of wider ones twenty octets.
// Contract: `c_cut` comes once for each packet, in order; s_short, beside a last beat, says that it holds no more octets than
// are cut from a pair, so that the beat in front of it is the last. A packet leaves as at least one beat: one without payload
// as one of zeros. What is missing of a packet is zeros, never its successor.
`default_nettype none

module esp_tx_cut #(
    parameter LANES = 1,
    parameter W = 128 * LANES
) (
    input  wire         clk,
    input  wire         rst,

    // one for each packet
    input  wire         c_valid,
    output wire         c_ready,
    input  wire         c_cut,

    input  wire         s_valid,
    output wire         s_ready,
    input  wire [W-1:0] s_data,
    input  wire         s_last,
    input  wire         s_bad,
    input  wire         s_short,

    output wire         m_valid,
    input  wire         m_ready,
    output wire [W-1:0] m_data,
    output wire         m_last,
    output wire         m_bad
);
    // bits that a pair of beats is turned by; a beat of 16 octets is all header
    localparam CUT = (LANES == 1) ? 32 : 160;
    localparam FIRST_FALLS = (LANES == 1) ? 1'b1 : 1'b0;

    // the beat in wait and its packet
    reg         held, last, bad, cut;
    reg [W-1:0] data;
    // the next beat opens a packet
    reg         first;

    assign m_valid = held && (!cut || last || s_valid);
    assign m_data = !cut ? data : {last ? {CUT{1'b0}} : s_data[CUT-1:0], data[W-1:CUT]};
    wire tail = cut && !last && s_last && s_short;
    assign m_last = last || tail;
    assign m_bad = last ? bad : s_bad;
    wire pop = m_valid && m_ready;

    assign s_ready = (!held || pop) && (!first || c_valid);
    wire take = s_valid && s_ready;
    assign c_ready = take && first;
    // it has gone with the beat in wait, or is all header
    wire falls = (held && !first && tail) || (FIRST_FALLS && first && c_cut && !s_last);

    always @(posedge clk) begin
        if (take) begin
            held <= !falls;
            {data, last, bad} <= {s_data, s_last, s_bad};
            first <= s_last;
            if (first)
                cut <= c_cut;
        end else if (pop)
            held <= 1'b0;
        if (rst) begin
            held <= 1'b0;
            first <= 1'b1;
        end
    end
endmodule

`default_nettype wire
