// SPDX-License-Identifier: Apache-2.0
// AXI4-Lite slave in front of the registers: one write and one read at a time, always answered with OKAY. Registers are
// whole 32-bit words; a write without all four byte strobes is answered and ignored.
//
// Write: address and data are taken together, response the cycle after, `wr` in that cycle; writes come three cycles apart or
// more. Read: `rd` the cycle after the address, data on the bus three cycles after it.
`default_nettype none

module csr_axil (
    input  wire        clk,
    input  wire        rst,
    input  wire        s_axil_awvalid,
    output wire        s_axil_awready,
    input  wire [15:0] s_axil_awaddr,
    input  wire        s_axil_wvalid,
    output wire        s_axil_wready,
    input  wire [31:0] s_axil_wdata,
    input  wire [3:0]  s_axil_wstrb,
    output reg         s_axil_bvalid,
    input  wire        s_axil_bready,
    output wire [1:0]  s_axil_bresp,
    input  wire        s_axil_arvalid,
    output wire        s_axil_arready,
    input  wire [15:0] s_axil_araddr,
    output wire        s_axil_rvalid,
    input  wire        s_axil_rready,
    output wire [31:0] s_axil_rdata,
    output wire [1:0]  s_axil_rresp,
    // registers: data of a read is valid two cycles after `rd`; rd_addr stays until then
    output reg         wr,
    output reg  [15:0] wr_addr,
    output reg  [31:0] wr_data,
    output reg         rd,
    output reg  [15:0] rd_addr,
    input  wire [31:0] rd_data,
    // no read begins meanwhile
    input  wire        rd_hold,
    output wire        busy
);
    reg       wr_rest;     // the second cycle after a write
    reg [2:0] reading;     // 1: rd, 2: the registers look it up, 3: data
    wire wr_go = s_axil_awvalid && s_axil_wvalid && !wr && !wr_rest && (!s_axil_bvalid || s_axil_bready);
    wire rd_go = s_axil_arvalid && reading == 3'd0 && !rd_hold;

    assign s_axil_awready = wr_go;
    assign s_axil_wready = wr_go;
    assign s_axil_bresp = 2'b00;
    assign s_axil_arready = rd_go;
    assign s_axil_rvalid = reading == 3'd3;
    assign s_axil_rdata = rd_data;
    assign s_axil_rresp = 2'b00;
    assign busy = s_axil_awvalid || s_axil_wvalid || s_axil_bvalid || s_axil_arvalid || reading != 3'd0 || wr || rd_hold;

    always @(posedge clk) begin
        wr <= wr_go && s_axil_wstrb == 4'hf;
        wr_rest <= wr;
        if (wr_go) begin
            wr_addr <= s_axil_awaddr;
            wr_data <= s_axil_wdata;
        end
        if (s_axil_bready)
            s_axil_bvalid <= 1'b0;
        if (wr_go)
            s_axil_bvalid <= 1'b1;
        rd <= rd_go;
        if (rd_go)
            rd_addr <= s_axil_araddr;
        if (rd_go || (reading != 3'd0 && (reading != 3'd3 || s_axil_rready)))
            reading <= (reading == 3'd3) ? 3'd0 : reading + 3'd1;
        if (rst) begin
            wr <= 1'b0;
            wr_rest <= 1'b0;
            rd <= 1'b0;
            reading <= 3'd0;
            s_axil_bvalid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
