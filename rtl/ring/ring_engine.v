// SPDX-License-Identifier: Apache-2.0
// The card between host memory and the pipelines: queues, descriptor fetch, payload in, results and completions out, SA
// commands. A packet's way: ring_fetch (descriptor) -> ring_dispatch (check, reads) -> ring_align (payload) -> pipeline ->
// ring_out (verdict, data) -> ring_write (payload, then completion) -> ring_queues (index, interrupt).
//
// Many packets are in flight at each stage; each pipeline's packets keep their order. Contract: `rst` only while
// `outstanding` is low (or with the bus reset too); `quench` stops new bus transactions for that.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

/* verilator lint_off PINCONNECTEMPTY */ // FIFO levels that nobody needs
module ring_engine #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // log2 of the SA slots of the RTL
    parameter LOG2_SA = 10,
    // queues including queue 0
    parameter NQ = 3,
    // longest packet in bytes
    parameter MAX_LEN = 9216,
    parameter W = 128 * LANES,
    parameter KB = 16 * LANES
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             run,
    input  wire             quench,
    input  wire [7:0]       epoch,
    input  wire             zeroize,
    input  wire [LOG2_SA:0] sa_limit,
    // queue configuration and doorbells
    input  wire [NQ-1:0]    q_enable,
    input  wire [NQ-1:0]    q_start,
    input  wire [NQ*4-1:0]  q_sq_log2,
    input  wire [NQ*4-1:0]  q_cq_log2,
    input  wire [NQ*64-1:0] q_sq_base,
    input  wire [NQ*64-1:0] q_cq_base,
    input  wire [NQ*8-1:0]  q_vector,
    input  wire             db_sq,
    input  wire             db_cq,
    input  wire [2:0]       db_q,
    input  wire [31:0]      db_data,
    output wire [NQ*32-1:0] sq_head,
    output wire [NQ*32-1:0] cq_done,
    output wire [NQ-1:0]    active,
    // why a queue has stopped, and the pipelines (a pulse each) whose results made no sense
    output wire [NQ*2-1:0]  cause,
    output wire [1:0]       err_internal,
    // events for the counters
    output wire             ev_doorbell,
    output wire             ev_fetched,
    output wire             ev_read_beat,
    output wire             ev_write_beat,
    output wire             ev_done,
    output wire [1:0]       ev_done_src,
    output wire [15:0]      ev_done_status,
    output wire [15:0]      ev_done_len,
    // interrupts
    output wire             irq_valid,
    input  wire             irq_ready,
    output wire [7:0]       irq_vector,
    // packets to the pipelines
    output wire             m_tvalid_enc,
    input  wire             m_tready_enc,
    output wire             m_tvalid_dec,
    input  wire             m_tready_dec,
    output wire [W-1:0]     m_tdata,
    output wire [KB-1:0]    m_tkeep,
    output wire             m_tlast,
    output wire [15:0]      m_tag,
    output wire [31:0]      m_sa,
    output wire [15:0]      m_gen,
    output wire [15:0]      m_len,
    // packets from the pipelines: 0 encapsulation, 1 decapsulation
    input  wire [1:0]       s_tvalid,
    output wire [1:0]       s_tready,
    input  wire [2*W-1:0]   s_tdata,
    input  wire [1:0]       s_tlast,
    input  wire [2*16-1:0]  s_tag,
    input  wire [2*16-1:0]  s_status,
    input  wire [2*64-1:0]  s_seq,
    input  wire [2*32-1:0]  s_sa,
    input  wire [2*16-1:0]  s_gen,
    input  wire [2*16-1:0]  s_len,
    input  wire [2*3-1:0]   s_flags,
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
    // AXI
    output wire             ar_valid,
    input  wire             ar_ready,
    output wire [1:0]       ar_id,
    output wire [63:0]      ar_addr,
    output wire [3:0]       ar_beats_m1,
    input  wire             r_valid,
    input  wire [1:0]       r_id,
    input  wire [W-1:0]     r_data,
    input  wire             r_err,
    input  wire             r_last,
    output wire             aw_valid,
    input  wire             aw_ready,
    output wire             aw_id,
    output wire [63:0]      aw_addr,
    output wire [3:0]       aw_beats_m1,
    output wire             w_valid,
    input  wire             w_ready,
    output wire [W-1:0]     w_data,
    output wire [KB-1:0]    w_strb,
    output wire             w_last,
    input  wire             b_valid,
    input  wire             b_id,
    input  wire             b_err,
    output wire             outstanding,
    output wire             keys_clean,
    output wire             keyed,
    output wire             busy
);
    // log2 of the beats of the payload FIFO and of each result buffer (32 KiB whatever the width)
    localparam LOG2_PAY = 9;
    localparam LOG2_OUT = (LANES == 1) ? 11 : (LANES == 2) ? 10 : 9;

    // ---- queues
    wire [NQ*3-1:0]  room;
    wire [NQ*64-1:0] sq_addr;
    wire [NQ*32-1:0] sq_issued, finished;
    wire             f_issue, f_recv, f_recv_err, sa_issue, sa_recv, sa_recv_err;
    wire [2:0]       f_issue_q, f_issue_n, f_recv_q;
    wire [2:0]       cq_q, cq_ack_q;
    wire [63:0]      cq_addr;
    wire             cq_phase, cq_alloc, cq_ack, cq_error, irq_waiting;
    wire [30:0]      cq_sq_head;
    ring_queues #(.NQ(NQ)) queues (
        .clk(clk), .rst(rst), .q_enable(q_enable), .q_start(q_start), .run(run), .q_sq_log2(q_sq_log2),
        .q_cq_log2(q_cq_log2), .q_sq_base(q_sq_base), .q_cq_base(q_cq_base), .q_vector(q_vector),
        .db_sq(db_sq), .db_cq(db_cq), .db_q(db_q), .db_data(db_data),
        .db_good(ev_doorbell),
        .room(room), .sq_addr(sq_addr), .pkt_issue(f_issue), .pkt_issue_q(f_issue_q), .pkt_issue_n(f_issue_n),
        .pkt_recv(f_recv), .pkt_recv_q(f_recv_q), .pkt_recv_err(f_recv_err),
        .sa_issue(sa_issue), .sa_recv(sa_recv), .sa_recv_err(sa_recv_err),
        .cq_q(cq_q), .cq_addr(cq_addr), .cq_phase(cq_phase), .cq_sq_head(cq_sq_head), .cq_alloc(cq_alloc),
        .cq_ack(cq_ack), .cq_ack_q(cq_ack_q), .cq_ack_err(cq_error),
        .irq_valid(irq_valid), .irq_ready(irq_ready), .irq_vector(irq_vector), .irq_waiting(irq_waiting),
        .sq_head(sq_head), .cq_done(cq_done), .sq_issued(sq_issued), .finished(finished), .active(active),
        .cause(cause));

    // ---- reads
    wire [2:0]     rq_valid, rq_ready, r_for;
    wire [191:0]   rq_addr;
    wire [11:0]    rq_beats;
    wire           rd_outstanding;
    ring_read read (
        .clk(clk), .rst(rst), .quench(quench), .s_valid(rq_valid), .s_ready(rq_ready), .s_addr(rq_addr),
        .s_beats_m1(rq_beats), .r_for(r_for), .ar_valid(ar_valid), .ar_ready(ar_ready), .ar_id(ar_id),
        .ar_addr(ar_addr), .ar_beats_m1(ar_beats_m1), .r_valid(r_valid), .r_id(r_id), .r_last(r_last),
        .outstanding(rd_outstanding));

    // ---- descriptors
    wire         desc_valid, desc_ready, desc_rest, fetch_busy;
    wire [2:0]   desc_q;
    wire [319:0] desc;
    ring_fetch #(.LANES(LANES), .NQ(NQ)) fetch (
        .clk(clk), .rst(rst), .room(room), .sq_addr(sq_addr), .issue(f_issue), .issue_q(f_issue_q),
        .issue_n(f_issue_n), .recv(f_recv), .recv_q(f_recv_q), .recv_err(f_recv_err),
        .ar_valid(rq_valid[0]), .ar_ready(rq_ready[0]), .ar_addr(rq_addr[63:0]), .ar_beats_m1(rq_beats[3:0]),
        .r_valid(r_for[0]), .r_data(r_data), .r_err(r_err),
        .desc_valid(desc_valid), .desc_ready(desc_ready), .desc_q(desc_q), .desc(desc), .desc_rest(desc_rest),
        .busy(fetch_busy));

    wire         pkt_valid, pkt_room, bad_valid, bad_room, pay_pop, dispatch_busy;
    wire [86:0]  pkt;
    wire [66:0]  bad;
    wire [1:0]   ctx_valid, ctx_room;
    wire [162:0] ctx;
    ring_dispatch #(.LANES(LANES), .MAX_LEN(MAX_LEN), .LOG2_PAY(LOG2_PAY)) dispatch (
        .clk(clk), .rst(rst), .desc_valid(desc_valid), .desc_ready(desc_ready), .desc_q(desc_q), .desc(desc),
        .desc_rest(desc_rest), .ar_valid(rq_valid[1]), .ar_ready(rq_ready[1]), .ar_addr(rq_addr[127:64]), .ar_beats_m1(rq_beats[7:4]),
        .pay_pop(pay_pop), .pkt_valid(pkt_valid), .pkt_room(pkt_room), .pkt(pkt),
        .enc_valid(ctx_valid[0]), .dec_valid(ctx_valid[1]), .enc_room(ctx_room[0]), .dec_room(ctx_room[1]), .ctx(ctx),
        .bad_valid(bad_valid), .bad_room(bad_room), .bad(bad), .busy(dispatch_busy));

    // ---- payload in
    wire         p_tvalid, p_dec, p_end, p_end_dec, p_end_err, align_busy;
    ring_align #(.LANES(LANES), .LOG2_PAY(LOG2_PAY)) align (
        .clk(clk), .rst(rst), .r_valid(r_for[1]), .r_data(r_data), .r_err(r_err), .pay_pop(pay_pop),
        .pkt_valid(pkt_valid), .pkt_room(pkt_room), .pkt(pkt),
        .m_tvalid(p_tvalid), .m_tready(p_dec ? m_tready_dec : m_tready_enc), .m_tdata(m_tdata), .m_tkeep(m_tkeep),
        .m_tlast(m_tlast), .m_dec(p_dec), .m_tag(m_tag), .m_sa(m_sa), .m_gen(m_gen), .m_len(m_len),
        .end_valid(p_end), .end_dec(p_end_dec), .end_err(p_end_err), .busy(align_busy));
    assign m_tvalid_enc = p_tvalid && !p_dec;
    assign m_tvalid_dec = p_tvalid && p_dec;

    // ---- results
    wire [3:0]     o_valid, o_ready;
    wire [4*64-1:0] o_dst;
    wire [4*214-1:0] o_cpl;
    wire [2:0]     d_valid, d_ready;
    wire [3*W-1:0] d_data;
    wire [1:0]     o_internal, out_busy;
    genvar g;
    generate
        for (g = 0; g < 2; g = g + 1) begin : dir
            localparam ME = g;
            ring_out #(.LANES(LANES), .LOG2_OUT(LOG2_OUT)) out (
                .clk(clk), .rst(rst), .ctx_valid(ctx_valid[g]), .ctx_room(ctx_room[g]), .ctx(ctx),
                .end_valid(p_end && p_end_dec == ME[0]), .end_err(p_end_err),
                .s_tvalid(s_tvalid[g]), .s_tready(s_tready[g]), .s_tdata(s_tdata[g*W+:W]), .s_tlast(s_tlast[g]),
                .s_tag(s_tag[g*16+:16]), .s_status(s_status[g*16+:16]), .s_seq(s_seq[g*64+:64]),
                .s_sa(s_sa[g*32+:32]), .s_gen(s_gen[g*16+:16]), .s_len(s_len[g*16+:16]),
                .s_flags(s_flags[g*3+:3]),
                .m_valid(o_valid[g]), .m_ready(o_ready[g]), .m_dst(o_dst[g*64+:64]), .m_cpl(o_cpl[g*214+:214]),
                .d_valid(d_valid[g]), .d_ready(d_ready[g]), .d_data(d_data[g*W+:W]),
                .internal_error(o_internal[g]), .busy(out_busy[g]));
        end
    endgenerate

    // ---- refused descriptors
    wire [66:0] bad_out;
    fifo #(.W(67), .LOG2_D(4)) refused (
        .clk(clk), .rst(rst), .wr_valid(bad_valid), .wdata(bad), .wr_ready(bad_room), .level(),
        .rd_valid(o_valid[3]), .rd_ready(o_ready[3]), .rdata(bad_out));
    assign o_dst[3*64+:64] = 64'd0;
    assign o_cpl[3*214+:214] = {3'd0, 16'd0, 16'd0, 32'hffffffff, 64'd0, `ESPC_STATUS_BAD_DESC, bad_out};

    // ---- SA commands
    wire [15:0] sa_bytes;
    wire        sa_busy;
    ring_sa #(.LANES(LANES), .LOG2_SA(LOG2_SA), .NQ(NQ)) sa (
        .clk(clk), .rst(rst), .zeroize(zeroize), .sa_limit(sa_limit), .room(room[2:0]), .sq_addr(sq_addr[63:0]), .issue(sa_issue),
        .recv(sa_recv), .recv_err(sa_recv_err), .sq_issued(sq_issued), .finished(finished), .active(active),
        .ar_valid(rq_valid[2]), .ar_ready(rq_ready[2]), .ar_addr(rq_addr[191:128]), .ar_beats_m1(rq_beats[11:8]),
        .r_valid(r_for[2]), .r_data(r_data), .r_err(r_err),
        .m_sa_tvalid(m_sa_tvalid), .m_sa_tready(m_sa_tready), .m_sa_tdata(m_sa_tdata), .m_sa_tlast(m_sa_tlast),
        .s_sa_tvalid(s_sa_tvalid), .s_sa_tready(s_sa_tready), .s_sa_tdata(s_sa_tdata), .s_sa_tlast(s_sa_tlast),
        .s_sa_status(s_sa_status),
        .out_valid(o_valid[2]), .out_ready(o_ready[2]), .out_dst(o_dst[2*64+:64]), .out_cpl(o_cpl[2*214+:214]),
        .out_bytes(sa_bytes), .out_dvalid(d_valid[2]), .out_dready(d_ready[2]), .out_data(d_data[2*W+:W]),
        .clean(keys_clean), .keyed(keyed), .busy(sa_busy));

    // ---- writes
    wire wr_outstanding, write_busy;
    ring_write #(.LANES(LANES)) write (
        .clk(clk), .rst(rst), .quench(quench), .epoch(epoch), .s_valid(o_valid), .s_ready(o_ready), .s_dst(o_dst),
        .s_cpl(o_cpl), .s_bytes({sa_bytes, o_cpl[214+195+:16], o_cpl[195+:16]}),
        .d_valid(d_valid), .d_ready(d_ready), .d_data(d_data),
        .cq_q(cq_q), .cq_addr(cq_addr), .cq_phase(cq_phase), .cq_sq_head(cq_sq_head), .cq_alloc(cq_alloc),
        .cq_ack(cq_ack), .cq_ack_q(cq_ack_q), .cq_error(cq_error),
        .done(ev_done), .done_src(ev_done_src), .done_status(ev_done_status), .done_len(ev_done_len),
        .aw_valid(aw_valid), .aw_ready(aw_ready), .aw_id(aw_id), .aw_addr(aw_addr), .aw_beats_m1(aw_beats_m1),
        .w_valid(w_valid), .w_ready(w_ready), .w_data(w_data), .w_strb(w_strb), .w_last(w_last),
        .b_valid(b_valid), .b_id(b_id), .b_err(b_err), .outstanding(wr_outstanding), .busy(write_busy));

    assign err_internal = o_internal;
    assign ev_fetched = f_recv;
    assign ev_read_beat = r_valid;
    assign ev_write_beat = w_valid && w_ready;
    assign outstanding = rd_outstanding || wr_outstanding;
    assign busy = outstanding || irq_waiting || fetch_busy || desc_valid || dispatch_busy || align_busy
                  || out_busy != 2'd0 || o_valid != 4'd0 || sa_busy || write_busy;
endmodule
/* verilator lint_on PINCONNECTEMPTY */

`default_nettype wire
