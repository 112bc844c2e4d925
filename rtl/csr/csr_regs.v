// SPDX-License-Identifier: Apache-2.0
// BAR0 as hw/regs/espalier.rdl describes it, but for the MSI-X table: identity, feature handshake, control and status,
// errors, the block directory, counters and their names; doorbells go on to the queues. No register holds a byte of key.
//
// A read's data is valid from two cycles after `rd` until the next one. While READY is 0 writes are ignored (a reset
// clears the registers), reads answer, while `rd_hold` only later. FATAL stays until RESET and zeroises all keys; ERR_CAUSE can be cleared.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module csr_regs #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // log2 of the SA slots of the RTL
    parameter LOG2_SA = 10,
    // packet queue pairs, at most 7
    parameter N_QP = 2,
    // interrupt vectors
    parameter N_VEC = 4,
    // longest packet in bytes
    parameter MAX_LEN = 9216,
    // hash of the sources
    parameter [31:0] BUILD_HASH = 32'd0,
    // nominal clock rate
    parameter CLOCK_KHZ = 250000,
    parameter NQ = N_QP + 1
) (
    input  wire             clk,
    // rst: hard reset; core_rst: also CTRL.RESET
    input  wire             rst,
    input  wire             core_rst,
    input  wire [LOG2_SA:0] sa_limit,
    input  wire             freerun_add_valid,
    input  wire [63:0]      freerun_add,
    // bus
    input  wire             wr,
    input  wire [15:0]      wr_addr,
    input  wire [31:0]      wr_data,
    input  wire             rd,
    input  wire [15:0]      rd_addr,
    output reg  [31:0]      rd_data,
    // reset and zeroise
    output wire             reset_request,
    output wire             zeroize_request,
    input  wire             ready,
    input  wire             zeroized,
    output reg              fatal,
    // to the rings
    output wire             run,
    output reg  [31:0]      epoch,
    output wire [NQ-1:0]    q_enable,
    output wire [NQ-1:0]    q_start,
    output wire [NQ*4-1:0]  q_sq_log2,
    output wire [NQ*4-1:0]  q_cq_log2,
    output wire [NQ*64-1:0] q_sq_base,
    output wire [NQ*64-1:0] q_cq_base,
    output wire [NQ*8-1:0]  q_vector,
    output reg              db_sq,
    output reg              db_cq,
    output reg  [2:0]       db_q,
    output reg  [31:0]      db_data,
    input  wire [NQ*32-1:0] sq_head,
    input  wire [NQ*32-1:0] cq_done,
    input  wire [NQ-1:0]    active,
    input  wire [NQ*2-1:0]  cause,
    input  wire [1:0]       err_internal,
    // reads wait for a snapshot
    output wire             rd_hold,
    output wire [63:0]      now,
    // events
    input  wire             ev_pipe_busy,
    input  wire             ev_enc_beat,
    input  wire             ev_dec_beat,
    input  wire             ev_doorbell,
    input  wire             ev_fetched,
    input  wire             ev_read_beat,
    input  wire             ev_write_beat,
    input  wire             ev_done,
    input  wire [1:0]       ev_done_src,
    input  wire [15:0]      ev_done_status,
    input  wire [15:0]      ev_done_len
);
    localparam [31:0] OFFERED =
        (32'd1 << `ESPC_FEATURES_OFFERED_AES128_GCM16_LSB) | (32'd1 << `ESPC_FEATURES_OFFERED_AES256_GCM16_LSB) |
        (32'd1 << `ESPC_FEATURES_OFFERED_TUNNEL_LSB) | (32'd1 << `ESPC_FEATURES_OFFERED_TRANSPORT_LSB) | (32'd1 << `ESPC_FEATURES_OFFERED_OUTER_IPV4_LSB) |
        (32'd1 << `ESPC_FEATURES_OFFERED_INNER_IPV4_LSB) | (32'd1 << `ESPC_FEATURES_OFFERED_UDP_ENCAP_LSB) |
        (32'd1 << `ESPC_FEATURES_OFFERED_ESN_LSB) | (32'd1 << `ESPC_FEATURES_OFFERED_REPLAY_LSB) |
        (32'd1 << `ESPC_FEATURES_OFFERED_LOOKASIDE_LSB) | (32'd1 << `ESPC_FEATURES_OFFERED_DEADLINE_LSB) |
        (32'd1 << `ESPC_FEATURES_OFFERED_ENDPOINT_LSB);
    localparam [31:0] QUEUES = N_QP, VECTORS = N_VEC, LENGTH = MAX_LEN, CLOCK = CLOCK_KHZ, WIDTH = LANES;

    // ---- decode
    wire wr_ok = wr && ready;
    wire wr_id = wr_ok && wr_addr[15:8] == 8'h00;
    wire wr_queue = wr_ok && wr_addr[15:9] == 7'h08;
    wire wr_doorbell = wr_ok && wr_addr[15:6] == 10'h080;

    // ---- control
    reg  [31:0] accepted;
    reg         enable, quiesce;
    reg         internal;
    reg  [1:0]  syndrome;
    wire        features_ok = (accepted & ~OFFERED) == 32'd0;
    wire        wr_ctrl = wr_id && wr_addr == `ESPC_REG_CTRL;
    assign reset_request = wr_ctrl && wr_data[`ESPC_CTRL_RESET_LSB];
    assign zeroize_request = wr_ctrl && wr_data[`ESPC_CTRL_ZEROIZE_LSB];
    assign run = enable && !quiesce && !fatal && ready;

    always @(posedge clk) begin
        if (wr_ctrl) begin
            enable <= wr_data[`ESPC_CTRL_ENABLE_LSB] && features_ok;
            quiesce <= wr_data[`ESPC_CTRL_QUIESCE_LSB];
        end
        if (wr_id && wr_addr == `ESPC_REG_FEATURES_ACCEPTED && !enable)
            accepted <= wr_data;
        if (wr_id && wr_addr == `ESPC_REG_EPOCH)
            epoch <= wr_data;
        if (wr_id && wr_addr == `ESPC_REG_ERR_CAUSE && wr_data[`ESPC_ERR_CAUSE_INTERNAL_LSB])
            internal <= 1'b0;
        if (err_internal != 2'd0) begin
            fatal <= 1'b1;
            internal <= 1'b1;
            if (!fatal)
                syndrome <= err_internal;
        end
        if (core_rst) begin
            enable <= 1'b0;
            quiesce <= 1'b0;
            fatal <= 1'b0;
            internal <= 1'b0;
            syndrome <= 2'd0;
            accepted <= 32'd0;
            epoch <= 32'd0;
        end
    end

    // ---- queues and doorbells
    wire [31:0] queue_data;
    csr_queues #(.NQ(NQ), .N_VEC(N_VEC)) queues (
        .clk(clk), .rst(core_rst), .wr(wr_queue), .wr_q(wr_addr[8:6]), .wr_reg(wr_addr[5:0]), .wr_data(wr_data),
        .rd_q(rd_addr[8:6]), .rd_reg(rd_addr[5:0]), .rd_data(queue_data), .sq_head(sq_head), .cq_done(cq_done),
        .active(active), .cause(cause), .enable(q_enable), .start(q_start), .sq_log2(q_sq_log2), .cq_log2(q_cq_log2),
        .sq_base(q_sq_base), .cq_base(q_cq_base), .vector(q_vector));

    always @(posedge clk) begin
        db_sq <= wr_doorbell && wr_addr[2:0] == 3'd0 && !fatal && !core_rst;
        db_cq <= wr_doorbell && wr_addr[2:0] == 3'd4 && !fatal && !core_rst;
        if (wr_doorbell) begin
            db_q <= wr_addr[5:3];
            db_data <= wr_data;
        end
    end

    // ---- counters
    wire [63:0] counter;
    wire [31:0] counter_name;
    csr_counters counters (
        .clk(clk), .rst(rst), .hold(rd_hold), .snapshot(wr && wr_addr == `ESPC_REG_SNAPSHOT), .pipe_busy(ev_pipe_busy),
        .enc_beat(ev_enc_beat), .dec_beat(ev_dec_beat), .doorbell(ev_doorbell), .fetched(ev_fetched),
        .read_beat(ev_read_beat), .write_beat(ev_write_beat), .done(ev_done), .done_src(ev_done_src),
        .done_status(ev_done_status), .done_len(ev_done_len), .index(rd_addr[8:3]), .value(counter));
    csr_names names (.index(rd_addr[10:5]), .word(rd_addr[4:2]), .value(counter_name));

    reg [63:0] freerun;
    assign now = freerun;
    reg [31:0] freerun_high;
    always @(posedge clk) begin
        freerun <= rst ? 64'd0 : freerun + 64'd1 + (freerun_add_valid ? freerun_add : 64'd0);
        if (rd && rd_addr == `ESPC_REG_FREERUN_LO)
            freerun_high <= freerun[63:32];
    end

    // ---- read
    wire [31:0] status = {26'd0, cause != {2*NQ{1'b0}}, zeroized, active == {NQ{1'b0}}, fatal, features_ok, ready};
    reg  [31:0] id_data;
    always @* begin
        case (rd_addr)
        `ESPC_REG_MAGIC: id_data = 32'h4c505345;
        `ESPC_REG_ABI: id_data = {`ESPC_ABI_MAJOR, `ESPC_ABI_MINOR};
        `ESPC_REG_BUILD_HASH: id_data = BUILD_HASH;
        `ESPC_REG_FEATURES_OFFERED: id_data = OFFERED;
        `ESPC_REG_FEATURES_ACCEPTED: id_data = accepted;
        `ESPC_REG_SA_SLOTS: id_data = {{(31-LOG2_SA){1'b0}}, sa_limit};
        `ESPC_REG_QUEUES: id_data = QUEUES;
        `ESPC_REG_MAX_LEN: id_data = LENGTH;
        `ESPC_REG_CLOCK_KHZ: id_data = CLOCK;
        `ESPC_REG_LANES: id_data = WIDTH;
        `ESPC_REG_VECTORS: id_data = VECTORS;
        `ESPC_REG_EPOCH: id_data = epoch;
        `ESPC_REG_CTRL: id_data = {29'd0, quiesce, !ready, enable};
        `ESPC_REG_STATUS: id_data = status;
        `ESPC_REG_ERR_CAUSE: id_data = {31'd0, internal};
        `ESPC_REG_ERR_SYNDROME: id_data = {30'd0, syndrome};
        `ESPC_REG_FREERUN_LO: id_data = freerun[31:0];
        `ESPC_REG_FREERUN_HI: id_data = freerun_high;
        default: id_data = 32'd0;
        endcase
    end

    wire [63:0] entry = block(rd_addr[7:4]);

    // first every block's word, then the choice among them
    reg        rd_2;
    reg [31:0] id_q, directory_q, queue_q, counter_q, name_q;
    always @(posedge clk) begin
        rd_2 <= rd;
        if (rd) begin
            id_q <= id_data;
            directory_q <= directory(rd_addr[7:2], entry[63:32], entry[31:0]);
            queue_q <= queue_data;
            counter_q <= rd_addr[2] ? counter[63:32] : counter[31:0];
            name_q <= counter_name;
        end
    end

    always @(posedge clk)
        if (rd_2)
            casez (rd_addr)
            16'h00??: rd_data <= id_q;
            16'h08??: rd_data <= directory_q;
            16'b0001_000?_????_????: rd_data <= queue_q;
            16'b0011_000?_????_????: rd_data <= counter_q;
            16'b0100_0???_????_????: rd_data <= name_q;
            default: rd_data <= 32'd0;
            endcase

    // Block directory: the type and offset of entry `at`; a word of it (type, version, offset, next) by directory().
    function [63:0] block(input [3:0] at);
        case (at)
        4'd0: block = {`ESPC_BLOCK_TYPE_ID, 32'h0000};
        4'd1: block = {`ESPC_BLOCK_TYPE_QUEUES, 16'd0, `ESPC_REG_QUEUE};
        4'd2: block = {`ESPC_BLOCK_TYPE_DOORBELL, 16'd0, `ESPC_REG_DOORBELL};
        4'd3: block = {`ESPC_BLOCK_TYPE_COUNTERS, 16'd0, `ESPC_REG_COUNTER};
        4'd4: block = {`ESPC_BLOCK_TYPE_COUNTER_NAMES, 16'd0, `ESPC_REG_COUNTER_NAME};
        4'd5: block = {`ESPC_BLOCK_TYPE_MSIX, 16'd0, `ESPC_REG_MSIX_TABLE};
        default: block = {`ESPC_BLOCK_TYPE_END, 32'h0000};
        endcase
    endfunction
    function [31:0] directory(input [5:0] at, input [31:0] kind, input [31:0] offset);
        case (at[1:0])
        2'd0: directory = kind;
        2'd1: directory = (kind == `ESPC_BLOCK_TYPE_END) ? 32'd0 : {`ESPC_ABI_MAJOR, 16'd0};
        2'd2: directory = offset;
        default: directory = (at[5:2] < 4'd5) ? {16'd0, `ESPC_REG_BLOCK} + {24'd0, at[5:2] + 4'd1, 4'd0} : 32'd0;
        endcase
    endfunction
endmodule

`default_nettype wire
