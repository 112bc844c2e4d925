// SPDX-License-Identifier: Apache-2.0
// A skid buffer: cuts the combinational path of ready between two stream stages at full rate.
//
// Latency 1 cycle, initiation interval 1. Contract: a word is taken when s_valid && s_ready and leaves when
// m_valid && m_ready, in order; m_data is stable while m_valid && !m_ready; s_ready is a register.
`default_nettype none

module skid #(
    // width of a word in bits
    parameter W = 8
) (
    input  wire         clk,
    input  wire         rst,
    input  wire         s_valid,
    output wire         s_ready,
    input  wire [W-1:0] s_data,
    output reg          m_valid,
    input  wire         m_ready,
    output reg  [W-1:0] m_data
);
    reg         spare_valid;
    reg [W-1:0] spare;

    assign s_ready = !spare_valid;
    wire load = !m_valid || m_ready;

    always @(posedge clk) begin
        if (load) begin
            m_valid <= spare_valid || s_valid;
            if (spare_valid)
                m_data <= spare;
            else if (s_valid)
                m_data <= s_data;
            spare_valid <= 1'b0;
        end else if (s_valid && s_ready) begin
            spare_valid <= 1'b1;
            spare <= s_data;
        end
        if (rst) begin
            m_valid <= 1'b0;
            spare_valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
