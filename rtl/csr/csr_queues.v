// SPDX-License-Identifier: Apache-2.0
// Configuration registers of the queues. A queue's ENABLE goes up only when its rings make sense (sizes 2 ... 15, entries of
// 64 and 32 bytes, the completion ring at least as long, aligned bases that are not 0, a vector that exists) and nothing
// of an earlier life is in flight; otherwise it stays 0, which the driver reads back. While it is up, or STATUS.ACTIVE is, the rest cannot
// be written: completions still go to the old rings.
//
// Combinational read; a write takes effect in the next cycle.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module csr_queues #(
    // queues including queue 0, at most 8
    parameter NQ = 3,
    // interrupt vectors
    parameter N_VEC = 4
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             wr,
    input  wire [2:0]       wr_q,
    input  wire [5:0]       wr_reg,
    input  wire [31:0]      wr_data,
    input  wire [2:0]       rd_q,
    input  wire [5:0]       rd_reg,
    output reg  [31:0]      rd_data,
    input  wire [NQ*32-1:0] sq_head,
    input  wire [NQ*32-1:0] cq_done,
    input  wire [NQ-1:0]    active,
    input  wire [NQ*2-1:0]  cause,
    output reg  [NQ-1:0]    enable,
    output reg  [NQ-1:0]    start,
    output wire [NQ*4-1:0]  sq_log2,
    output wire [NQ*4-1:0]  cq_log2,
    output wire [NQ*64-1:0] sq_base,
    output wire [NQ*64-1:0] cq_base,
    output wire [NQ*8-1:0]  vector
);
    localparam [31:0] VECTORS = N_VEC;
    // log2 of the bytes of a completion and of a submission
    localparam [15:0] ENTRIES = {8'd5, 8'd6};

    reg [63:0] sqb [0:NQ-1];
    reg [63:0] cqb [0:NQ-1];
    reg [31:0] size [0:NQ-1];
    reg [31:0] vec [0:NQ-1];
    reg [NQ-1:0] sane;

    genvar g;
    generate
        for (g = 0; g < NQ; g = g + 1) begin : flat
            assign sq_base[g*64+:64] = sqb[g];
            assign cq_base[g*64+:64] = cqb[g];
            assign sq_log2[g*4+:4] = size[g][3:0];
            assign cq_log2[g*4+:4] = size[g][11:8];
            assign vector[g*8+:8] = vec[g][7:0];
        end
    endgenerate

    integer i;
    integer n;
    always @* begin
        rd_data = 32'd0;
        for (i = 0; i < NQ; i = i + 1) begin
            sane[i] = size[i][31:16] == ENTRIES && size[i][7:0] >= 8'd2 && size[i][7:0] <= 8'd15 && size[i][15:8] >= size[i][7:0]
                      && size[i][15:8] <= 8'd15 && sqb[i] != 64'd0 && cqb[i] != 64'd0 && sqb[i][5:0] == 6'd0
                      && cqb[i][5:0] == 6'd0 && vec[i] < VECTORS && !active[i];
            if (rd_q == i[2:0])
                case ({10'd0, rd_reg})
                `ESPC_QUEUE_SQ_BASE_LO: rd_data = sqb[i][31:0];
                `ESPC_QUEUE_SQ_BASE_HI: rd_data = sqb[i][63:32];
                `ESPC_QUEUE_CQ_BASE_LO: rd_data = cqb[i][31:0];
                `ESPC_QUEUE_CQ_BASE_HI: rd_data = cqb[i][63:32];
                `ESPC_QUEUE_LOG2_SIZE: rd_data = size[i];
                `ESPC_QUEUE_VECTOR: rd_data = vec[i];
                `ESPC_QUEUE_CTRL: rd_data = {31'd0, enable[i]};
                `ESPC_QUEUE_STATUS:
                    rd_data = ({30'd0, cause[i*2+:2]} << `ESPC_QUEUE_STATUS_CAUSE_LSB)
                              | ({31'd0, cause[i*2+:2] != 2'd0} << `ESPC_QUEUE_STATUS_ERROR_LSB) | {31'd0, active[i]};
                `ESPC_QUEUE_SQ_HEAD: rd_data = sq_head[i*32+:32];
                `ESPC_QUEUE_CQ_TAIL: rd_data = cq_done[i*32+:32];
                default: rd_data = 32'd0;
                endcase
        end
    end

    always @(posedge clk) begin
        start <= {NQ{1'b0}};
        for (n = 0; n < NQ; n = n + 1) begin
            if (wr && wr_q == n[2:0]) begin
                if (!enable[n] && (!active[n] || {10'd0, wr_reg} == `ESPC_QUEUE_CTRL))
                    case ({10'd0, wr_reg})
                    `ESPC_QUEUE_SQ_BASE_LO: sqb[n][31:0] <= wr_data;
                    `ESPC_QUEUE_SQ_BASE_HI: sqb[n][63:32] <= wr_data;
                    `ESPC_QUEUE_CQ_BASE_LO: cqb[n][31:0] <= wr_data;
                    `ESPC_QUEUE_CQ_BASE_HI: cqb[n][63:32] <= wr_data;
                    `ESPC_QUEUE_LOG2_SIZE: size[n] <= wr_data;
                    `ESPC_QUEUE_VECTOR: vec[n] <= wr_data;
                    `ESPC_QUEUE_CTRL: begin
                        enable[n] <= wr_data[0] && sane[n];
                        start[n] <= wr_data[0] && sane[n];
                    end
                    default: ;
                    endcase
                else if (enable[n] && {10'd0, wr_reg} == `ESPC_QUEUE_CTRL && !wr_data[0])
                    enable[n] <= 1'b0;
            end
            if (rst) begin
                sqb[n] <= 64'd0;
                cqb[n] <= 64'd0;
                size[n] <= 32'd0;
                vec[n] <= 32'd0;
            end
        end
        if (rst) begin
            enable <= {NQ{1'b0}};
            start <= {NQ{1'b0}};
        end
    end
endmodule

`default_nettype wire
