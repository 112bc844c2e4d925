// SPDX-License-Identifier: Apache-2.0
// Encapsulation: the slot port. Turns the SA manager's operations into state operations of esp_tx_sa, key operations of
// the GCM core and writes of the slot's configuration; sweeps everything on zeroize and reset.
//
// A slot is valid only after its key schedule is complete, and invalid before its key is cleared. `hold` stops the beat
// builder for HOLD cycles before the core is zeroized, so that no beat is lost inside it; `aborting` is a pulse that
// makes the packets inside ABORTED. Contract: one operation at a time; slot_blob, slot_limit and slot_deadline are held until
// slot_done; packets are admitted only while `admit`; each accepted operation is answered, by ABORTED if zeroize
// overtakes it.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_tx_slot #(
    parameter LOG2_SA = 10
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               zeroize,
    output wire               zeroized,
    output wire               admit,
    output wire               hold,
    output wire               aborting,
    output wire               scrub,

    input  wire               slot_valid,
    output wire               slot_ready,
    input  wire [2:0]         slot_op,
    input  wire [LOG2_SA-1:0] slot_index,
    input  wire [15:0]        slot_gen,
    /* verilator lint_off UNUSED */ // the blob's other fields are read elsewhere or mean nothing outbound
    input  wire [8*256-1:0]   slot_blob,
    /* verilator lint_on UNUSED */
    input  wire [63:0]        slot_limit,
    input  wire [63:0]        slot_deadline,
    output reg                slot_done,
    output reg  [15:0]        slot_status,
    output reg  [63:0]        slot_last_seq,
    output reg  [63:0]        slot_packets,
    output reg  [63:0]        slot_bytes,
    output reg  [63:0]        slot_drops,

    // state operations
    input  wire               op_ready,
    output wire               op_go,
    output reg  [2:0]         op,
    output wire [LOG2_SA-1:0] op_index,
    output wire [63:0]        op_seq,
    output wire [63:0]        op_limit,
    output wire [63:0]        op_deadline,
    input  wire               op_done,
    input  wire               op_valid,
    input  wire               op_expired,
    input  wire [15:0]        op_cur_gen,
    input  wire [63:0]        op_next_seq,
    input  wire [63:0]        op_cur_limit,
    input  wire [63:0]        op_packets,
    input  wire [63:0]        op_bytes,
    input  wire [63:0]        op_drops,
    output wire               cfg_wen,
    output wire               end_wen,
    output wire               cfg_zero,
    output wire [LOG2_SA-1:0] cfg_index,

    // packets looked up before this moment have left
    output wire               drain_mark,
    input  wire               drained,

    output wire               key_valid,
    input  wire               key_ready,
    output wire [255:0]       key,
    output wire               key_256,
    input  wire               key_done,
    output wire               clr_valid,
    input  wire               clr_ready,
    input  wire               clr_done,
    output wire               core_zeroize,
    input  wire               core_zeroize_done
);
    localparam [2:0] WRITE = 3'd0, DRAIN = 3'd1, CLEAR = 3'd2, LEASE = 3'd3, QUERY = 3'd4, ENDPOINT = 3'd5;
    localparam [2:0] OP_READ = 3'd0, OP_INIT = 3'd1, OP_LEASE = 3'd2, OP_DRAIN = 3'd3, OP_CLEAR = 3'd4,
                     OP_RENEW = 3'd5;
    localparam [3:0] Z_HOLD = 4'd0, Z_SWEEP = 4'd1, IDLE = 4'd2, GO = 4'd3, LOOK = 4'd4, KEY = 4'd5, KEY_WAIT = 4'd6,
                     DRAINING = 4'd7, CLR = 4'd8, CLR_WAIT = 4'd9, APPLY = 4'd10, APPLIED = 4'd11, ENDS = 4'd12;
    localparam [6:0] HOLD = 7'd64;

    reg [3:0]         state;
    reg [6:0]         hold_cnt;
    reg [LOG2_SA:0]   sweep;
    reg               pending, core_clean, mark;
    reg [2:0]         code;
    reg [LOG2_SA-1:0] index;
    reg [15:0]        gen;

    assign zeroized = state != Z_HOLD && state != Z_SWEEP && !zeroize;
    assign admit = zeroized;
    assign hold = state == Z_HOLD || state == Z_SWEEP;
    assign aborting = zeroize;
    assign scrub = state == Z_SWEEP;
    assign core_zeroize = state == Z_SWEEP && !core_clean;

    assign slot_ready = state == IDLE && !zeroize;
    wire sweeping = state == Z_SWEEP && !sweep[LOG2_SA];
    assign op_go = op_ready && (state == GO || state == APPLY || sweeping);
    assign op_index = sweeping ? sweep[LOG2_SA-1:0] : index;
    assign op_seq = slot_blob[`ESPC_SA_BLOB_SEQ_LSB +: 64];
    assign op_limit = (code == WRITE) ? slot_blob[`ESPC_SA_BLOB_SEQ_LIMIT_LSB +: 64] : slot_limit;
    // none is all ones in the state
    wire [63:0] deadline = (code == WRITE) ? slot_blob[`ESPC_SA_BLOB_DEADLINE_LSB +: 64] : slot_deadline;
    assign op_deadline = (deadline == 64'd0) ? {64{1'b1}} : deadline;
    assign cfg_wen = (state == KEY && key_ready) || (state == CLR && clr_ready) || sweeping;
    assign end_wen = cfg_wen || state == ENDS;
    assign cfg_zero = state != KEY && state != ENDS;
    assign cfg_index = op_index;
    assign drain_mark = mark;

    assign key_valid = state == KEY;
    assign key = slot_blob[`ESPC_SA_BLOB_KEY_LSB +: 256];
    assign key_256 = slot_blob[`ESPC_SA_BLOB_ALG_LSB +: 32] == `ESPC_SA_ALG_AES256_GCM16;
    assign clr_valid = state == CLR;

    // what to do once the slot's state is known
    reg [15:0] refusal;
    always @* begin
        if (code == WRITE)
            refusal = op_valid ? `ESPC_STATUS_SLOT_BUSY : `ESPC_STATUS_OK;
        else if (!op_valid)
            refusal = `ESPC_STATUS_SA_INVALID;
        else if (op_cur_gen != gen)
            refusal = `ESPC_STATUS_SA_STALE_GEN;
        else if (code == LEASE && op_expired)
            refusal = `ESPC_STATUS_LEASE_EXPIRED;
        else if (code == LEASE && slot_limit < op_cur_limit)
            refusal = `ESPC_STATUS_BAD_LEASE;
        else
            refusal = `ESPC_STATUS_OK;
    end

    always @(posedge clk) begin
        slot_done <= 1'b0;
        mark <= 1'b0;
        case (state)
            Z_HOLD: begin
                hold_cnt <= hold_cnt - 1'b1;
                sweep <= {LOG2_SA+1{1'b0}};
                core_clean <= 1'b0;
                op <= OP_CLEAR;
                if (hold_cnt == 7'd1)
                    state <= Z_SWEEP;
            end
            Z_SWEEP: begin
                // the last one's answer is not to be taken for that of an operation
                if (op_go) begin
                    sweep <= sweep + 1'b1;
                    hold_cnt <= 7'd4;
                end else if (hold_cnt != 7'd0)
                    hold_cnt <= hold_cnt - 1'b1;
                if (core_zeroize_done)
                    core_clean <= 1'b1;
                if (sweep[LOG2_SA] && core_clean && hold_cnt == 7'd0) begin
                    state <= IDLE;
                    slot_done <= pending;
                    slot_status <= `ESPC_STATUS_ABORTED;
                    pending <= 1'b0;
                end
            end
            IDLE: if (slot_valid && slot_ready) begin
                state <= GO;
                op <= OP_READ;
                code <= slot_op;
                index <= slot_index;
                gen <= slot_gen;
                pending <= 1'b1;
            end
            GO: if (op_ready)
                state <= LOOK;
            LOOK: if (op_done) begin
                slot_status <= refusal;
                slot_last_seq <= op_next_seq - 64'd1;
                slot_packets <= op_packets;
                slot_bytes <= op_bytes;
                slot_drops <= op_drops;
                if (!op_valid || refusal == `ESPC_STATUS_SLOT_BUSY) begin
                    slot_last_seq <= 64'd0;
                    slot_packets <= 64'd0;
                    slot_bytes <= 64'd0;
                    slot_drops <= 64'd0;
                end
                if (refusal != `ESPC_STATUS_OK || code == QUERY) begin
                    state <= IDLE;
                    slot_done <= 1'b1;
                    pending <= 1'b0;
                end else begin
                    op <= (code == WRITE) ? OP_INIT : (code == DRAIN) ? OP_DRAIN : (code != LEASE) ? OP_CLEAR :
                          (slot_limit == op_cur_limit) ? OP_RENEW : OP_LEASE;
                    state <= (code == WRITE) ? KEY : (code == ENDPOINT) ? ENDS : APPLY;
                end
            end
            ENDS: begin
                state <= IDLE;
                slot_done <= 1'b1;
                pending <= 1'b0;
            end
            KEY: if (key_ready)
                state <= KEY_WAIT;
            KEY_WAIT: if (key_done)
                state <= APPLY;
            APPLY: if (op_ready)
                state <= APPLIED;
            APPLIED: if (op_done) begin
                mark <= code == DRAIN || code == CLEAR;
                state <= (code == DRAIN || code == CLEAR) ? DRAINING : IDLE;
                slot_done <= code == WRITE || code == LEASE;
                if (code == WRITE || code == LEASE)
                    pending <= 1'b0;
            end
            // then read the final numbers, or wipe the key
            DRAINING: if (!mark && drained) begin
                code <= (code == DRAIN) ? QUERY : code;
                op <= OP_READ;
                state <= (code == DRAIN) ? GO : CLR;
            end
            CLR: if (clr_ready)
                state <= CLR_WAIT;
            default: if (clr_done) begin
                state <= IDLE;
                slot_done <= 1'b1;
                pending <= 1'b0;
            end
        endcase
        if (rst || zeroize) begin
            state <= Z_HOLD;
            hold_cnt <= HOLD;
            slot_done <= 1'b0;
            op <= OP_CLEAR;
        end
        if (rst)
            pending <= 1'b0;
    end
endmodule

`default_nettype wire
