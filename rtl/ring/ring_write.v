// SPDX-License-Identifier: Apache-2.0
// Everything the card writes to host memory: payloads of both pipelines, SA results, completions. A completion's write is
// issued only when the bus has acknowledged its payload, so it is never visible before it; the queue's index (and the
// interrupt) moves only when the completion itself is acknowledged.
//
// Payloads use AXI ID 0, completions ID 1; each ID is acknowledged in order. One burst (at most 256 bytes, within a
// 256-byte block) is issued a cycle, one beat of data a cycle; a packet costs a cycle beside its bursts. Contract: all data of a
// payload is in its source's FIFO when it is offered; payloads start on a 64-byte line; responses are always taken.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

/* verilator lint_off PINCONNECTEMPTY */ // FIFO levels that nobody needs
module ring_write #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // log2 of the packets between payload and completion
    parameter LOG2_PEND = 7,
    parameter W = 128 * LANES,
    parameter KB = 16 * LANES
) (
    input  wire           clk,
    input  wire           rst,
    input  wire           quench,
    input  wire [7:0]     epoch,
    // sources: 0 encapsulation, 1 decapsulation, 2 SA commands, 3 refused descriptors (these have no data)
    input  wire [3:0]     s_valid,
    output reg  [3:0]     s_ready,
    input  wire [4*64-1:0] s_dst,
    input  wire [4*214-1:0] s_cpl,
    input  wire [3*16-1:0] s_bytes,
    input  wire [2:0]     d_valid,
    output reg  [2:0]     d_ready,
    input  wire [3*W-1:0] d_data,
    // completion rings
    output wire [2:0]     cq_q,
    input  wire [63:0]    cq_addr,
    input  wire           cq_phase,
    input  wire [30:0]    cq_sq_head,
    output wire           cq_alloc,
    output reg            cq_ack,
    output reg  [2:0]     cq_ack_q,
    output reg            cq_error,
    // one pulse for each completion: source, status, length
    output reg            done,
    output reg  [1:0]     done_src,
    output reg  [15:0]    done_status,
    output reg  [15:0]    done_len,
    // AXI write channels
    output reg            aw_valid,
    input  wire           aw_ready,
    output reg            aw_id,
    output reg  [63:0]    aw_addr,
    output reg  [3:0]     aw_beats_m1,
    output reg            w_valid,
    input  wire           w_ready,
    output reg  [W-1:0]   w_data,
    output reg  [KB-1:0]  w_strb,
    output reg            w_last,
    input  wire           b_valid,
    input  wire           b_id,
    input  wire           b_err,
    output wire           outstanding,
    output wire           busy
);
    localparam LK = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    localparam [3:0] CPL_BEATS_M1 = (LANES == 1) ? 4'd1 : 4'd0;

    // ---- choice of the next packet, which then waits in a skid: the sources' ready does not hang on the bus
    reg  [1:0]   last_src, pick;
    reg          some;
    reg  [16+64+214-1:0] picked;
    wire         pick_ready;
    integer      i;
    always @* begin
        some = 1'b0;
        pick = 2'd0;
        for (i = 3; i >= 0; i = i - 1)
            if (s_valid[i] && i[1:0] <= last_src) begin
                some = 1'b1;
                pick = i[1:0];
            end
        for (i = 3; i >= 0; i = i - 1)
            if (s_valid[i] && i[1:0] > last_src) begin
                some = 1'b1;
                pick = i[1:0];
            end
        case (pick)
        2'd0: picked = {s_bytes[15:0], s_dst[0+:64], s_cpl[0+:214]};
        2'd1: picked = {s_bytes[31:16], s_dst[64+:64], s_cpl[214+:214]};
        2'd2: picked = {s_bytes[47:32], s_dst[2*64+:64], s_cpl[2*214+:214]};
        default: picked = {16'd0, s_dst[3*64+:64], s_cpl[3*214+:214]};
        endcase
        s_ready = {pick == 2'd3, pick == 2'd2, pick == 2'd1, pick == 2'd0} & {4{some && pick_ready}};
    end

    wire         any, next;
    wire [1:0]   src;
    wire [63:0]  src_dst;
    wire [213:0] src_cpl;
    wire [15:0]  src_bytes;
    skid #(.W(2 + 16 + 64 + 214)) chosen (
        .clk(clk), .rst(rst), .s_valid(some), .s_ready(pick_ready), .s_data({pick, picked}),
        .m_valid(any), .m_ready(next), .m_data({src, src_bytes, src_dst, src_cpl}));

    // ---- the packet whose bursts are being issued
    // first as it was chosen, then with its next burst worked out: `to_go` is the place of its last byte in the block
    localparam [3:0] BLOCK_M1 = (LANES == 1) ? 4'd15 : (LANES == 2) ? 4'd7 : 4'd3;
    reg         raw, cur, last;
    reg  [1:0]  raw_src, cur_src;
    reg  [63:0] raw_addr, addr;
    reg  [15:0] raw_m1;
    reg  [16:0] to_go;
    reg  [3:0]  beats_m1;
    reg  [LK-1:0] last_m1;      // bytes of the burst's last beat, less one
    wire [16:0] raw_to_go = {9'd0, raw_addr[7:0]} + {1'b0, raw_m1};
    wire        raw_last = raw_to_go[16:8] == 9'd0;
    wire [9:0]  raw_end = {2'd0, raw_last ? raw_to_go[7:0] : 8'hff};
    wire [9:0]  raw_start = {2'd0, raw_addr[7:0]};
    wire        load;

    wire        pend_room, cmd_room, track_room, cq_room;
    wire        slot = (!aw_valid || aw_ready) && cmd_room && !quench;
    wire        cpl_go, pay_go;
    assign load = raw && (!cur || (pay_go && last));
    assign      next = any && pend_room && (!raw || load);

    // ---- completions wait for their payload's acknowledgement
    wire         p_valid, p_pay, ack_valid, ack_err;
    wire [1:0]   p_src;
    wire [213:0] p_cpl;
    fifo #(.W(217), .LOG2_D(LOG2_PEND)) pending (
        .clk(clk), .rst(rst), .wr_valid(next), .wdata({src_bytes != 16'd0, src, src_cpl}), .wr_ready(pend_room), .level(),
        .rd_valid(p_valid), .rd_ready(cpl_go), .rdata({p_pay, p_src, p_cpl}));

    wire [63:0] p_cookie = p_cpl[63:0];
    wire [15:0] p_status = (p_pay && ack_err) ? `ESPC_STATUS_DMA_ERROR : p_cpl[82:67];
    wire [63:0] p_seq = p_cpl[146:83];
    wire [31:0] p_sa = p_cpl[178:147];
    wire [15:0] p_gen = p_cpl[194:179];
    wire [15:0] p_len = (p_status == `ESPC_STATUS_OK) ? p_cpl[210:195] : 16'd0;
    wire [2:0]  p_flags = p_cpl[213:211];
    assign cq_q = p_cpl[66:64];
    assign cpl_go = slot && p_valid && (!p_pay || ack_valid) && cq_room;
    assign pay_go = slot && cur && !cpl_go && track_room;
    assign cq_alloc = cpl_go;

    wire [255:0] cpl = {cq_phase, cq_sq_head, 5'd0, p_flags, epoch, p_len, p_status, p_gen, p_sa, p_seq, p_cookie};
    wire [255:0] c_data;
    wire         c_valid, c_pop;
    // always has room: as deep as the command FIFO
    fifo #(.W(256), .LOG2_D(4)) cpl_data (
        .clk(clk), .rst(rst), .wr_valid(cpl_go), .wdata(cpl), .wr_ready(), .level(),
        .rd_valid(c_valid), .rd_ready(c_pop), .rdata(c_data));

    // ---- commands to the data side: completion, source, upper half of the beat, beats, bytes of the last beat
    wire           k_valid, k_cpl, k_upper, k_pop;
    wire [1:0]     k_src;
    wire [3:0]     k_beats_m1;
    wire [LK-1:0]  k_last_m1;
    fifo #(.W(8+LK), .LOG2_D(4)) commands (
        .clk(clk), .rst(rst), .wr_valid(cpl_go || pay_go),
        .wdata(cpl_go ? {1'b1, 2'd0, cq_addr[5], CPL_BEATS_M1, {LK{1'b1}}} :
                          {1'b0, cur_src, 1'b0, beats_m1, last_m1}),
        .wr_ready(cmd_room), .level(), .rd_valid(k_valid), .rd_ready(k_pop),
        .rdata({k_cpl, k_src, k_upper, k_beats_m1, k_last_m1}));

    // ---- acknowledgements
    wire       t_valid, t_last, q_valid;
    wire [2:0] q_q;
    wire       b_pay = b_valid && !b_id;
    wire       b_cpl = b_valid && b_id;
    reg        err_seen;
    fifo #(.W(1), .LOG2_D(LOG2_PEND)) track (
        .clk(clk), .rst(rst), .wr_valid(pay_go), .wdata(last), .wr_ready(track_room), .level(),
        .rd_valid(t_valid), .rd_ready(b_pay), .rdata(t_last));
    fifo #(.W(3), .LOG2_D(LOG2_PEND)) cq_track (
        .clk(clk), .rst(rst), .wr_valid(cpl_go), .wdata(cq_q), .wr_ready(cq_room), .level(),
        .rd_valid(q_valid), .rd_ready(b_cpl), .rdata(q_q));
    // always has room: at most one for each pending packet
    fifo #(.W(1), .LOG2_D(LOG2_PEND+1)) acks (
        .clk(clk), .rst(rst), .wr_valid(b_pay && t_last), .wdata(err_seen || b_err), .wr_ready(), .level(),
        .rd_valid(ack_valid), .rd_ready(cpl_go && p_pay), .rdata(ack_err));

    // ---- data
    reg  [3:0]  beat;
    reg  [W-1:0] src_data;
    wire        w_room = !w_valid || w_ready;
    wire        k_last = beat == k_beats_m1;
    reg         have;
    always @* begin
        case (k_src)
        2'd0: {have, src_data} = {d_valid[0], d_data[0+:W]};
        2'd1: {have, src_data} = {d_valid[1], d_data[W+:W]};
        default: {have, src_data} = {d_valid[2], d_data[2*W+:W]};
        endcase
        if (k_cpl)
            have = c_valid;
    end
    wire        move = k_valid && have && w_room;
    wire [KB-1:0] ends = {KB{1'b1}} >> ({LK{1'b1}} - k_last_m1);
    assign k_pop = move && k_last;
    assign c_pop = k_pop && k_cpl;
    always @* begin
        d_ready = 3'd0;
        if (move && !k_cpl)
            d_ready[k_src] = 1'b1;
    end

    wire [W-1:0]  cpl_beat;
    wire [KB-1:0] cpl_strb;
    generate
        if (LANES == 1) begin : c1
            assign cpl_beat = beat[0] ? c_data[255:128] : c_data[127:0];
            assign cpl_strb = {KB{1'b1}};
        end else if (LANES == 2) begin : c2
            assign cpl_beat = c_data;
            assign cpl_strb = {KB{1'b1}};
        end else begin : c4
            assign cpl_beat = {c_data, c_data};
            assign cpl_strb = k_upper ? {{KB/2{1'b1}}, {KB/2{1'b0}}} : {{KB/2{1'b0}}, {KB/2{1'b1}}};
        end
    endgenerate

    assign outstanding = t_valid || q_valid || aw_valid || w_valid || k_valid;
    assign busy = raw || cur || any || p_valid || outstanding;

    always @(posedge clk) begin
        // addresses
        if (aw_ready)
            aw_valid <= 1'b0;
        if (cpl_go || pay_go) begin
            aw_valid <= 1'b1;
            aw_id <= cpl_go;
            aw_addr <= cpl_go ? cq_addr : addr;
            aw_beats_m1 <= cpl_go ? CPL_BEATS_M1 : beats_m1;
        end
        if (pay_go) begin
            addr <= {addr[63:8] + 56'd1, 8'd0};
            to_go[16:8] <= to_go[16:8] - 9'd1;
            last <= to_go[16:8] == 9'd1;
            beats_m1 <= (to_go[16:8] == 9'd1) ? BLOCK_M1 & to_go[LK+3:LK] : BLOCK_M1;
            last_m1 <= (to_go[16:8] == 9'd1) ? to_go[LK-1:0] : {LK{1'b1}};
            if (last)
                cur <= 1'b0;
        end
        if (load) begin
            cur <= 1'b1;
            cur_src <= raw_src;
            addr <= raw_addr;
            to_go <= raw_to_go;
            last <= raw_last;
            beats_m1 <= BLOCK_M1 & (raw_end[LK+3:LK] - raw_start[LK+3:LK]);
            last_m1 <= raw_end[LK-1:0];
            raw <= 1'b0;
        end
        if (next) begin
            raw <= src_bytes != 16'd0;
            raw_src <= src;
            raw_addr <= src_dst;
            raw_m1 <= src_bytes - 16'd1;
        end
        if (some && pick_ready)
            last_src <= pick;
        // data
        if (w_ready)
            w_valid <= 1'b0;
        if (move) begin
            w_valid <= 1'b1;
            w_data <= k_cpl ? cpl_beat : src_data;
            w_strb <= k_cpl ? cpl_strb : k_last ? ends : {KB{1'b1}};
            w_last <= k_last;
            beat <= k_last ? 4'd0 : beat + 4'd1;
        end
        // responses
        if (b_pay)
            err_seen <= !t_last && (err_seen || b_err);
        cq_ack <= b_cpl;
        cq_ack_q <= q_q;
        cq_error <= b_cpl && b_err;
        done <= cpl_go;
        done_src <= p_src;
        done_status <= p_status;
        done_len <= p_len;
        if (rst) begin
            aw_valid <= 1'b0;
            w_valid <= 1'b0;
            raw <= 1'b0;
            cur <= 1'b0;
            beat <= 4'd0;
            err_seen <= 1'b0;
            last_src <= 2'd0;
            cq_ack <= 1'b0;
            cq_error <= 1'b0;
            done <= 1'b0;
        end
    end

    wire unused = &{1'b0, k_upper, raw_start, raw_end, 1'b0};
endmodule
/* verilator lint_on PINCONNECTEMPTY */

`default_nettype wire
