// SPDX-License-Identifier: Apache-2.0
// SA commands (queue 0), one at a time: fetches the 64-byte entry and, for ADD and ENDPOINT, the 512-byte blob, hands both to the SA
// manager as 64-bit words, takes its result and offers it to ring_write with the completion. FENCE is done here.
//
// The blob holds keys: it lives in one buffer, which is overwritten with zeros as soon as it has been handed on, after a
// bus error, and after reset. `keyed`: an SA was added since the last zeroise; `clean`: neither that nor a key in the
// buffer. Contract: read data comes in the order of the addresses.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module ring_sa #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // log2 of the SA slots of the RTL
    parameter LOG2_SA = 10,
    // queues including queue 0
    parameter NQ = 3,
    parameter W = 128 * LANES
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             zeroize,
    input  wire [LOG2_SA:0] sa_limit,
    // queue 0
    input  wire [2:0]       room,
    input  wire [63:0]      sq_addr,
    output wire             issue,
    output reg              recv,
    output reg              recv_err,
    // state of the packet queues, for fences
    input  wire [NQ*32-1:0] sq_issued,
    input  wire [NQ*32-1:0] finished,
    input  wire [NQ-1:0]    active,
    // reads
    output reg              ar_valid,
    input  wire             ar_ready,
    output reg  [63:0]      ar_addr,
    output reg  [3:0]       ar_beats_m1,
    input  wire             r_valid,
    input  wire [W-1:0]     r_data,
    input  wire             r_err,
    // SA manager
    output wire             m_sa_tvalid,
    input  wire             m_sa_tready,
    output wire [63:0]      m_sa_tdata,
    output wire             m_sa_tlast,
    input  wire             s_sa_tvalid,
    output wire             s_sa_tready,
    input  wire [63:0]      s_sa_tdata,
    input  wire             s_sa_tlast,
    input  wire [15:0]      s_sa_status,
    // result and completion
    output wire             out_valid,
    input  wire             out_ready,
    output wire [63:0]      out_dst,
    output wire [213:0]     out_cpl,
    output wire [15:0]      out_bytes,
    output wire             out_dvalid,
    input  wire             out_dready,
    output wire [W-1:0]     out_data,
    output wire             clean,
    output reg              keyed,
    output wire             busy
);
    localparam LK = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    localparam ROWS = 512 >> LK;
    localparam LR = 9 - LK;
    localparam [3:0] CMD_M1 = (LANES == 1) ? 4'd3 : (LANES == 2) ? 4'd1 : 4'd0;
    localparam [LR-1:0] LAST_ROW = {LR{1'b1}};
    // beats of a block of 256 bytes, less one
    localparam [3:0] BLOCK_M1 = (LANES == 1) ? 4'd15 : (LANES == 2) ? 4'd7 : 4'd3;

    localparam [3:0] WIPE = 4'd0, IDLE = 4'd1, COMMAND = 4'd2, CHECK = 4'd3, BLOB = 4'd4, SEND = 4'd5, SEND_BLOB = 4'd6,
                     RESULT = 4'd7, FENCE = 4'd8, OFFER = 4'd9, DRAIN = 4'd10;

    reg [3:0]   state;
    reg [511:0] cmd, result;
    reg [15:0]  status;
    reg         write_result;
    reg [3:0]   beat;
    reg [LR:0]  rows;
    reg [9:0]   to_go;      // of the blob, from the block's start to its last byte
    reg         more;
    reg [63:0]  addr;
    reg [6:0]   word;
    reg         failed;
    reg         offering;       // state == OFFER
    reg         draining;       // state == DRAIN

    wire [7:0]  op = cmd[7:0];
    wire [31:0] index = cmd[`ESPC_SA_COMMAND_SA_INDEX_LSB +: 32];
    wire [63:0] blob_iova = cmd[`ESPC_SA_COMMAND_BLOB_IOVA_LSB +: 64];
    wire [63:0] result_iova = cmd[`ESPC_SA_COMMAND_RESULT_IOVA_LSB +: 64];
    wire        is_add = op == `ESPC_SA_OP_ADD;
    wire        with_blob = is_add || op == `ESPC_SA_OP_ENDPOINT;
    wire        is_fence = op == `ESPC_SA_OP_FENCE;
    wire        indexed = op >= `ESPC_SA_OP_ADD && op <= `ESPC_SA_OP_QUERY;
    wire        result_ok = result_iova != 64'd0 && result_iova[5:0] == 6'd0;
    wire        blob_ok = blob_iova != 64'd0 && blob_iova[5:0] == 6'd0;
    // what is reserved of a command, and the deadline where it is no LEASE
    wire        rest_ok = cmd[511:`ESPC_SA_COMMAND_RESERVED_LSB] == 0
                          && (op == `ESPC_SA_OP_LEASE || cmd[`ESPC_SA_COMMAND_DEADLINE_LSB +: 64] == 0);
    wire        index_ok = index < {{(31-LOG2_SA){1'b0}}, sa_limit};

    // ---- the blob
    reg  [W-1:0]  blob [0:ROWS-1];
    wire          blob_we = (state == BLOB && r_valid) || state == WIPE;
    wire [LR-1:0] row = rows[LR-1:0];
    always @(posedge clk)
        if (blob_we)
            blob[row] <= (state == WIPE) ? {W{1'b0}} : r_data;

    wire [5:0]    blob_word = word[5:0];
    wire [W-1:0]  blob_row = blob[blob_word[5:LK-3]];
    wire [63:0]   blob_out;
    generate
        if (LANES == 1) begin : s1
            assign blob_out = blob_row[{blob_word[0], 6'd0} +: 64];
        end else if (LANES == 2) begin : s2
            assign blob_out = blob_row[{blob_word[1:0], 6'd0} +: 64];
        end else begin : s4
            assign blob_out = blob_row[{blob_word[2:0], 6'd0} +: 64];
        end
    endgenerate

    // ---- reads of the blob: bursts within 256-byte blocks, two, or three where it does not start with one
    wire [9:0] blob_end = {2'd0, (to_go[9:8] == 2'd0) ? to_go[7:0] : 8'hff};
    wire [9:0] blob_start = {2'd0, addr[7:0]};

    // ---- fences: every packet descriptor issued before has finished
    reg  [NQ*32-1:0] mark;
    reg  [NQ-1:0]    passed;
    integer          i;
    always @* begin
        passed[0] = 1'b1;
        for (i = 1; i < NQ; i = i + 1)
            passed[i] = !active[i] || finished[i*32+:32] - mark[i*32+:32] < 32'h80000000;
    end

    assign issue = state == IDLE && room != 3'd0;
    assign m_sa_tvalid = state == SEND || state == SEND_BLOB;
    assign m_sa_tdata = (state == SEND) ? cmd[{word[2:0], 6'd0} +: 64] : blob_out;
    assign m_sa_tlast = (state == SEND) ? word == 7'd7 && !with_blob : word == 7'd63;
    assign s_sa_tready = state == RESULT;

    assign out_valid = offering;
    assign out_dst = result_iova;
    assign out_bytes = write_result ? 16'd64 : 16'd0;
    assign out_cpl = {3'd0, 16'd0, cmd[`ESPC_SA_COMMAND_GENERATION_LSB +: 16], index, result[63:0], status, 3'd0,
                      cmd[`ESPC_SA_COMMAND_COOKIE_LSB +: 64]};
    assign out_dvalid = draining;
    reg [511:0] result_out;
    assign out_data = result_out[W-1:0];
    assign clean = !keyed && (state == IDLE || state == COMMAND || state == CHECK || state == FENCE);
    wire result_end = state == RESULT && s_sa_tvalid && s_sa_tlast && s_sa_status == `ESPC_STATUS_OK;
    always @(posedge clk)
        if (rst || zeroize || (result_end && op == `ESPC_SA_OP_ZEROIZE_ALL))
            keyed <= 1'b0;
        else if (result_end && is_add)
            keyed <= 1'b1;
    assign busy = (state != IDLE) || room != 3'd0;

    // What becomes of a fetched command.
    task decide;
        begin
            write_result <= result_ok;
            result <= 512'd0;
            word <= 7'd0;
            rows <= {(LR+1){1'b0}};
            failed <= 1'b0;
            more <= 1'b1;
            to_go <= {2'd0, blob_iova[7:0]} + 10'd511;
            addr <= blob_iova;
            mark <= sq_issued;
            status <= `ESPC_STATUS_OK;
            if (!result_ok || !rest_ok || (with_blob && !blob_ok)) begin
                status <= `ESPC_STATUS_BAD_DESC;
                state <= WIPE;
            end else if (indexed && !index_ok) begin
                status <= `ESPC_STATUS_BAD_INDEX;
                state <= WIPE;
            end else
                state <= is_fence ? FENCE : with_blob ? BLOB : SEND;
        end
    endtask

    reg finishing;
    always @(posedge clk) begin
        recv <= 1'b0;
        if (ar_ready)
            ar_valid <= 1'b0;
        case (state)
        WIPE: begin // zero the buffer, then answer, or wait for the next command
            rows <= rows + 1'b1;
            if (row == LAST_ROW) begin
                rows <= {(LR+1){1'b0}};
                state <= finishing ? OFFER : IDLE;
                offering <= finishing;
            end
            result_out <= result;
        end
        IDLE:
            if (issue) begin
                ar_valid <= 1'b1;
                ar_addr <= sq_addr;
                ar_beats_m1 <= CMD_M1;
                beat <= 4'd0;
                failed <= 1'b0;
                state <= COMMAND;
            end
        COMMAND:
            if (r_valid) begin
                beat <= beat + 4'd1;
                failed <= failed || r_err;
                if (beat == CMD_M1) begin
                    recv <= 1'b1;
                    recv_err <= failed || r_err;
                    state <= (failed || r_err) ? IDLE : CHECK;
                end
            end
        CHECK: begin
            finishing <= 1'b1;
            decide;
        end
        BLOB: begin
            if (more && (!ar_valid || ar_ready)) begin
                ar_valid <= 1'b1;
                ar_addr <= addr;
                ar_beats_m1 <= BLOCK_M1 & (blob_end[LK+3:LK] - blob_start[LK+3:LK]);
                addr <= {addr[63:8] + 56'd1, 8'd0};
                to_go[9:8] <= to_go[9:8] - 2'd1;
                more <= to_go[9:8] != 2'd0;
            end
            if (r_valid) begin
                rows <= rows + 1'b1;
                failed <= failed || r_err;
                if (row == LAST_ROW) begin
                    rows <= {(LR+1){1'b0}};
                    status <= `ESPC_STATUS_DMA_ERROR;
                    state <= (failed || r_err) ? WIPE : SEND;
                end
            end
        end
        SEND:
            if (m_sa_tready) begin
                word <= word + 7'd1;
                if (word == 7'd7) begin
                    word <= 7'd0;
                    state <= with_blob ? SEND_BLOB : RESULT;
                end
            end
        SEND_BLOB:
            if (m_sa_tready) begin
                word <= word + 7'd1;
                if (word == 7'd63)
                    state <= RESULT;
            end
        RESULT:
            if (s_sa_tvalid) begin
                result <= {s_sa_tdata, result[511:64]};
                status <= s_sa_status;
                if (s_sa_tlast)
                    state <= WIPE;
            end
        FENCE:
            if (&passed)
                state <= WIPE;
        OFFER: begin
            if (out_ready) begin
                offering <= 1'b0;
                draining <= write_result;
                finishing <= 1'b0;
                if (!write_result)
                    state <= IDLE;
                else
                    state <= DRAIN;
                beat <= CMD_M1;
            end
        end
        DRAIN:
            if (out_dready) begin
                result_out <= result_out >> W;
                beat <= beat - 4'd1;
                if (beat == 4'd0) begin
                    draining <= 1'b0;
                    state <= IDLE;
                end
            end
        default:
            state <= WIPE;
        endcase
        if (rst) begin
            state <= WIPE;
            rows <= {(LR+1){1'b0}};
            ar_valid <= 1'b0;
            recv <= 1'b0;
            finishing <= 1'b0;
            offering <= 1'b0;
            draining <= 1'b0;
        end
    end

    generate
        if (LANES == 4) begin : whole
            always @(posedge clk)
                if (state == COMMAND && r_valid)
                    cmd <= r_data;
        end else begin : part
            always @(posedge clk)
                if (state == COMMAND && r_valid)
                    cmd <= {r_data, cmd[511:W]};
        end
    endgenerate

    wire unused = &{1'b0, rows[LR], blob_end, blob_start, mark[31:0], finished[31:0], sq_issued[31:0], active[0], 1'b0};
endmodule

`default_nettype wire
