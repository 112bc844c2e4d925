// SPDX-License-Identifier: Apache-2.0
// Results of one pipeline: joins each packet that leaves with its context, keeps its data until its status is known and
// then hands both to ring_write. A packet that is not OK, or longer than its buffer, leaves no data: its beats are rolled
// back, so nothing of it is written to the host. No packet completes before all of its buffer has been read, also where the
// pipeline refuses it at its first beat: only then may the host have its buffer back, and only then is every error known.
//
// Initiation interval: one beat a cycle. Latency: 4 cycles after the last beat. Contract: the pipeline keeps the order of
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
    output reg          d_valid,
    input  wire         d_ready,
    output reg  [W-1:0] d_data,
    output reg          internal_error,
    output wire         busy
);
    localparam LK = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;

    // ---- a beat, and with the last one the packet's context: the verdict is a cycle later than what it is made of ------------
    wire        take = s_tvalid && s_tready;
    wire        done = take && s_tlast;
    wire        c_valid, c_some;
    wire [15:0] c_tag, c_cap;
    wire [2:0]  c_q;
    wire [63:0] c_dst, c_cookie;
    wire [LOG2_CTX:0] waiting;
    fifo_ram #(.W(163), .LOG2_D(LOG2_CTX)) contexts (
        .clk(clk), .rst(rst), .wr_valid(ctx_valid && ctx_room), .wdata(ctx), .wr_ready(), .level(waiting), .some(c_some),
        .rd_valid(c_valid), .rd_ready(done), .rdata({c_tag, c_q, c_cap, c_dst, c_cookie}));
    assign ctx_room = !waiting[LOG2_CTX] && !(&waiting[LOG2_CTX-1:0]);

    // always has room: as many as contexts, with the one at their RAM's output and their head
    wire        read_done, err_here;
    fifo #(.W(1), .LOG2_D(LOG2_CTX)) reads (
        .clk(clk), .rst(rst), .wr_valid(end_valid), .wdata(end_err), .wr_ready(), .level(),
        .rd_valid(read_done), .rd_ready(done), .rdata(err_here));

    reg          v, last;
    reg [W-1:0]  data;
    reg [15:0]   status_in, len, gen;
    reg [63:0]   seq, dst, cookie;
    reg [31:0]   sa;
    reg [2:0]    flags, q;
    // no context, or another packet's; too few beats or too many for its length; more than its buffer; an error while it was read
    reg          other, misfit, long, err;
    // beats before this one, and with it
    reg [16-LK:0] beats, beats_more;
    wire         whole = s_len[LK-1:0] == {LK{1'b0}};
    wire [16-LK:0] len_beats = {1'b0, s_len[15:LK]};
    // There is room for four beats and four packets more. Known a cycle late, of what was written: three may come.
    reg          room;

    assign s_tready = room && (read_done || !s_tlast);
    always @(posedge clk) begin
        v <= take && !rst;
        if (take) begin
            last <= s_tlast;
            data <= s_tdata;
            beats <= s_tlast ? {(17-LK){1'b0}} : beats_more;
            beats_more <= s_tlast ? {{(16-LK){1'b0}}, 1'b1} : beats_more + 1'b1;
        end
        if (done) begin
            status_in <= s_status;
            {len, gen, seq, sa, flags} <= {s_len, s_gen, s_seq, s_sa, s_flags};
            {q, dst, cookie} <= {c_q, c_dst, c_cookie};
            other <= !c_valid || c_tag != s_tag;
            misfit <= len_beats != (whole ? beats_more : beats) || s_len == 16'd0;
            long <= s_len > c_cap;
            err <= err_here;
        end
        if (rst) begin
            beats <= {(17-LK){1'b0}};
            beats_more <= {{(16-LK){1'b0}}, 1'b1};
        end
    end

    // ---- verdict
    wire        ok_in = status_in == `ESPC_STATUS_OK;
    wire        broken = other || (ok_in && misfit);
    wire        keep = ok_in && !broken && !err && !long;
    wire [15:0] status = broken ? `ESPC_STATUS_ABORTED : err ? `ESPC_STATUS_DMA_ERROR :
                         (ok_in && long) ? `ESPC_STATUS_TOO_LONG : status_in;

    // ---- data buffer with commit and roll-back
    reg  [LOG2_OUT:0] wptr, committed, rptr;
    // what has been read; what is handed on, behind it
    reg          dv;
    wire [W-1:0] dd;
    wire         judged = v && last;
    wire         move = !d_valid || d_ready;
    wire         fetch = rptr != committed && (!dv || move);
    wire [LOG2_META:0] packets;
    wire [LOG2_OUT:0] filled = wptr - rptr;
    wire         f_some;

    assign busy = c_some || v || f_some || dv || d_valid || s_tvalid;

    // in columns that are one block RAM each: no choice among RAMs behind their outputs, which are slow
    genvar g;
    generate
        for (g = 0; g < 16; g = g + 1) begin : column
            ram_sdp #(.W(W / 16), .LOG2_D(LOG2_OUT)) ram (
                .clk(clk), .wen(v), .waddr(wptr[LOG2_OUT-1:0]), .wdata(data[g*(W/16) +: W/16]),
                .ren(fetch), .raddr(rptr[LOG2_OUT-1:0]), .rdata(dd[g*(W/16) +: W/16]));
        end
    endgenerate
    always @(posedge clk)
        if (move)
            d_data <= dd;

    always @(posedge clk) begin
        room <= !filled[LOG2_OUT] && !(&filled[LOG2_OUT-1:2]) && !packets[LOG2_META] && !(&packets[LOG2_META-1:2]);
        internal_error <= judged && broken;
        if (v)
            wptr <= (last && !keep) ? committed : wptr + 1'b1;
        if (judged && keep)
            committed <= wptr + 1'b1;
        if (fetch)
            rptr <= rptr + 1'b1;
        if (fetch || move)
            dv <= fetch;
        if (move)
            d_valid <= dv;
        if (rst) begin
            room <= 1'b0;
            internal_error <= 1'b0;
            wptr <= {(LOG2_OUT+1){1'b0}};
            committed <= {(LOG2_OUT+1){1'b0}};
            rptr <= {(LOG2_OUT+1){1'b0}};
            dv <= 1'b0;
            d_valid <= 1'b0;
        end
    end

    fifo_ram #(.W(278), .LOG2_D(LOG2_META)) finished (
        .clk(clk), .rst(rst), .wr_valid(judged),
        .wdata({dst, flags, keep ? len : 16'd0, gen, sa, seq, status, q, cookie}),
        .wr_ready(), .level(packets), .some(f_some), .rd_valid(m_valid), .rd_ready(m_ready), .rdata({m_dst, m_cpl}));

    wire unused = &{1'b0, filled[1:0], packets[1:0], 1'b0};
endmodule
/* verilator lint_on PINCONNECTEMPTY */

`default_nettype wire
