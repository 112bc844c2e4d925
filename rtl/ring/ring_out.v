// SPDX-License-Identifier: Apache-2.0
// Results of one pipeline: joins each packet that leaves with its context, keeps its data until its status is known and
// then hands both to ring_write. A packet that is not OK, or longer than its buffer, leaves no data: its beats are rolled
// back, so nothing of it is written to the host. No packet completes before all of its buffer has been read, also where the
// pipeline refuses it at its first beat: only then may the host have its buffer back, and only then is every error known.
//
// Initiation interval: one beat a cycle. Latency: 2 cycles after the last beat. Contract: the pipeline keeps the order of
// contexts; a packet is shorter than half the data buffer.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

/* verilator lint_off PINCONNECTEMPTY */ // FIFO levels that nobody needs
module ring_out #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // log2 of the contexts held: packets between descriptor and result
    parameter LOG2_CTX = 7,
    // log2 of the beats of the data buffer
    parameter LOG2_OUT = 11,
    // log2 of the finished packets held
    parameter LOG2_META = 6,
    parameter W = 128 * LANES
) (
    input  wire         clk,
    input  wire         rst,
    // contexts: tag, queue, dst_cap, dst_iova, cookie
    input  wire         ctx_valid,
    output wire         ctx_room,
    input  wire [162:0] ctx,
    // all data of the next packet has been read; there was an error
    input  wire         end_valid,
    input  wire         end_err,
    // packets from the pipeline; side-band valid with tlast
    input  wire         s_tvalid,
    output wire         s_tready,
    input  wire [W-1:0] s_tdata,
    input  wire         s_tlast,
    input  wire [15:0]  s_tag,
    input  wire [15:0]  s_status,
    input  wire [63:0]  s_seq,
    input  wire [31:0]  s_sa,
    input  wire [15:0]  s_gen,
    input  wire [15:0]  s_len,
    input  wire [2:0]   s_flags,
    // finished packets: dst_iova, then {flags, length, generation, SA, sequence, status, queue, cookie}
    output wire         m_valid,
    input  wire         m_ready,
    output wire [63:0]  m_dst,
    output wire [213:0] m_cpl,
    // their data, in order
    output wire         d_valid,
    input  wire         d_ready,
    output wire [W-1:0] d_data,
    output reg          internal_error,
    output wire         busy
);
    localparam LK = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    // two less than there is room for
    localparam [LOG2_OUT:0] BEATS = {1'b0, {LOG2_OUT-1{1'b1}}, 1'b0};
    localparam [LOG2_META:0] PACKETS = {1'b0, {LOG2_META-1{1'b1}}, 1'b0};

    // ---- context of the packet that leaves next
    wire        c_valid;
    wire [15:0] c_tag, c_cap;
    wire [2:0]  c_q;
    wire [63:0] c_dst, c_cookie;
    wire        take = s_tvalid && s_tready;
    wire        done = take && s_tlast;
    fifo #(.W(163), .LOG2_D(LOG2_CTX)) contexts (
        .clk(clk), .rst(rst), .wr_valid(ctx_valid), .wdata(ctx), .wr_ready(ctx_room), .level(),
        .rd_valid(c_valid), .rd_ready(done), .rdata({c_tag, c_q, c_cap, c_dst, c_cookie}));

    // always has room: as many as contexts
    wire        read_done, err_here;
    fifo #(.W(1), .LOG2_D(LOG2_CTX)) reads (
        .clk(clk), .rst(rst), .wr_valid(end_valid), .wdata(end_err), .wr_ready(), .level(),
        .rd_valid(read_done), .rd_ready(done), .rdata(err_here));

    // ---- verdict
    reg  [16-LK:0] beats;
    wire [16:0] len_up = {1'b0, s_len} + {{(17-LK){1'b0}}, {LK{1'b1}}};
    wire        ok_in = s_status == `ESPC_STATUS_OK;
    wire        broken = !c_valid || c_tag != s_tag || (ok_in && (len_up[16:LK] != beats + 1'b1 || s_len == 16'd0));
    wire [15:0] status = broken ? `ESPC_STATUS_ABORTED :
                         err_here ? `ESPC_STATUS_DMA_ERROR :
                         (ok_in && s_len > c_cap) ? `ESPC_STATUS_TOO_LONG : s_status;
    wire        keep = status == `ESPC_STATUS_OK;

    // ---- data buffer with commit and roll-back
    reg  [W-1:0] mem [0:(1<<LOG2_OUT)-1];
    reg  [LOG2_OUT:0] wptr, committed, rptr;
    reg          dv;
    reg  [W-1:0] dd;
    wire         fetch = rptr != committed && (!dv || d_ready);
    wire [LOG2_META:0] packets;
    // known a cycle late: one beat and one packet more may come
    reg          room;

    assign s_tready = room && (read_done || !s_tlast);
    assign d_valid = dv;
    assign d_data = dd;
    assign busy = c_valid || m_valid || dv || s_tvalid;

    always @(posedge clk) begin
        if (take)
            mem[wptr[LOG2_OUT-1:0]] <= s_tdata;
        if (fetch)
            dd <= mem[rptr[LOG2_OUT-1:0]];
    end

    always @(posedge clk) begin
        room <= wptr - rptr < BEATS && packets < PACKETS;
        internal_error <= done && broken;
        if (take) begin
            beats <= s_tlast ? {(17-LK){1'b0}} : beats + 1'b1;
            wptr <= (s_tlast && !keep) ? committed : wptr + 1'b1;
        end
        if (done && keep)
            committed <= wptr + 1'b1;
        if (fetch)
            rptr <= rptr + 1'b1;
        if (fetch || d_ready)
            dv <= fetch;
        if (rst) begin
            room <= 1'b0;
            internal_error <= 1'b0;
            beats <= {(17-LK){1'b0}};
            wptr <= {(LOG2_OUT+1){1'b0}};
            committed <= {(LOG2_OUT+1){1'b0}};
            rptr <= {(LOG2_OUT+1){1'b0}};
            dv <= 1'b0;
        end
    end

    fifo #(.W(278), .LOG2_D(LOG2_META)) finished (
        .clk(clk), .rst(rst), .wr_valid(done),
        .wdata({c_dst, s_flags, keep ? s_len : 16'd0, s_gen, s_sa, s_seq, status, c_q, c_cookie}),
        .wr_ready(), .level(packets), .rd_valid(m_valid), .rd_ready(m_ready), .rdata({m_dst, m_cpl}));

    wire unused = &{1'b0, len_up[LK-1:0], 1'b0};
endmodule
/* verilator lint_on PINCONNECTEMPTY */

`default_nettype wire
