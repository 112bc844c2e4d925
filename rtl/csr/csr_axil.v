// SPDX-License-Identifier: Apache-2.0
// AXI4-Lite slave in front of the registers: one write and one read at a time, always answered with OKAY. Registers are
// whole 32-bit words; a write without all four byte strobes is answered and ignored.
//
// Write: address and data are taken together, response the cycle after. Read: data two cycles after the address.
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
    output reg         s_axil_rvalid,
    input  wire        s_axil_rready,
    output wire [31:0] s_axil_rdata,
    output wire [1:0]  s_axil_rresp,
    // registers: data of a read is valid from the cycle after `rd`
    output wire        wr,
    output wire [15:0] wr_addr,
    output wire [31:0] wr_data,
    output wire        rd,
    output wire [15:0] rd_addr,
    input  wire [31:0] rd_data,
    output wire        busy
);
    wire wr_go = s_axil_awvalid && s_axil_wvalid && (!s_axil_bvalid || s_axil_bready);
    wire rd_go = s_axil_arvalid && !s_axil_rvalid;

    assign s_axil_awready = wr_go;
    assign s_axil_wready = wr_go;
    assign s_axil_bresp = 2'b00;
    assign s_axil_arready = rd_go;
    assign s_axil_rdata = rd_data;
    assign s_axil_rresp = 2'b00;
    assign wr = wr_go && s_axil_wstrb == 4'hf;
    assign wr_addr = s_axil_awaddr;
    assign wr_data = s_axil_wdata;
    assign rd = rd_go;
    assign rd_addr = s_axil_araddr;
    assign busy = s_axil_awvalid || s_axil_wvalid || s_axil_bvalid || s_axil_arvalid || s_axil_rvalid;

    always @(posedge clk) begin
        if (s_axil_bready)
            s_axil_bvalid <= 1'b0;
        if (wr_go)
            s_axil_bvalid <= 1'b1;
        if (s_axil_rready)
            s_axil_rvalid <= 1'b0;
        if (rd_go)
            s_axil_rvalid <= 1'b1;
        if (rst) begin
            s_axil_bvalid <= 1'b0;
            s_axil_rvalid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
