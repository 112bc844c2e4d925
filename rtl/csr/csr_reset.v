// SPDX-License-Identifier: Apache-2.0
// Reset and zeroise. Hard reset and CTRL.RESET end the same way: every queue and pipeline is reset and all key memory is
// zeroised before READY returns. CTRL.RESET first lets the bus answer what is outstanding, so that no DMA follows it.
//
// Contract: `core_rst` is high only when `outstanding` is low, except in hard reset, which resets the bus too.
`default_nettype none

module csr_reset (
    input  wire clk,
    input  wire rst,
    input  wire reset_request,
    input  wire zeroize_request,
    input  wire outstanding,
    input  wire zeroized,
    output reg  ready,
    output reg  quench,
    output reg  core_rst,
    output reg  zeroize,
    output wire busy
);
    localparam [1:0] RUN = 2'd0, QUENCH = 2'd1, RESET = 2'd2, ZERO = 2'd3;
    reg [1:0] state;
    reg [3:0] count;

    assign busy = state != RUN || zeroize;

    always @(posedge clk) begin
        zeroize <= 1'b0;
        count <= count + 4'd1;
        case (state)
        RUN:
            if (reset_request) begin
                ready <= 1'b0;
                quench <= 1'b1;
                count <= 4'd0;
                state <= QUENCH;
            end else if (zeroize_request)
                zeroize <= 1'b1;
        QUENCH: // until the bus has been silent for 16 cycles
            if (outstanding)
                count <= 4'd0;
            else if (count == 4'd15) begin
                core_rst <= 1'b1;
                state <= RESET;
            end
        RESET:
            if (count == 4'd15) begin
                core_rst <= 1'b0;
                quench <= 1'b0;
                zeroize <= 1'b1;
                state <= ZERO;
            end
        ZERO: // `zeroized` falls within the first cycles
            if (count == 4'd15) begin
                count <= 4'd15;
                if (zeroized) begin
                    ready <= 1'b1;
                    state <= RUN;
                end
            end
        endcase
        if (rst) begin
            state <= RESET;
            count <= 4'd0;
            ready <= 1'b0;
            quench <= 1'b1;
            core_rst <= 1'b1;
            zeroize <= 1'b0;
        end
    end
endmodule

`default_nettype wire
