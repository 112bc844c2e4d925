// SPDX-License-Identifier: Apache-2.0
// All queue pairs: fans doorbells, fetches and completions out to one ring_queue each and gathers interrupts. Queue 0
// takes SA commands and is fetched by ring_sa, the others by ring_fetch; both may fetch in the same cycle.
//
// No latency of its own. Contract: the queue numbers given are below NQ.
`default_nettype none

module ring_queues #(
    // queues including queue 0, at most 8
    parameter NQ = 3
) (
    input  wire            clk,
    input  wire            rst,
    input  wire [NQ-1:0]   q_enable,
    input  wire [NQ-1:0]   q_start,
    input  wire            run,
    input  wire [NQ*4-1:0] q_sq_log2,
    input  wire [NQ*4-1:0] q_cq_log2,
    input  wire [NQ*64-1:0] q_sq_base,
    input  wire [NQ*64-1:0] q_cq_base,
    input  wire [NQ*8-1:0] q_vector,
    // doorbells
    input  wire            db_sq,
    input  wire            db_cq,
    input  wire [2:0]      db_q,
    input  wire [31:0]     db_data,
    output wire            db_good,
    // fetch
    output wire [NQ*3-1:0] room,
    output wire [NQ*64-1:0] sq_addr,
    input  wire            pkt_issue,
    input  wire [2:0]      pkt_issue_q,
    input  wire [2:0]      pkt_issue_n,
    input  wire            pkt_recv,
    input  wire [2:0]      pkt_recv_q,
    input  wire            pkt_recv_err,
    input  wire            sa_issue,
    input  wire            sa_recv,
    input  wire            sa_recv_err,
    // completions
    input  wire [2:0]      cq_q,
    output reg  [63:0]     cq_addr,
    output reg             cq_phase,
    output reg  [30:0]     cq_sq_head,
    input  wire            cq_alloc,
    input  wire            cq_ack,
    input  wire [2:0]      cq_ack_q,
    input  wire            cq_ack_err,
    // interrupts
    output reg             irq_valid,
    input  wire            irq_ready,
    output reg  [7:0]      irq_vector,
    output wire            irq_waiting,
    // state for registers and fences
    output wire [NQ*32-1:0] sq_head,
    output wire [NQ*32-1:0] cq_done,
    output wire [NQ*32-1:0] sq_issued,
    output wire [NQ*32-1:0] finished,
    output wire [NQ-1:0]   active,
    output wire [NQ*2-1:0] cause
);
    wire [NQ*64-1:0] cq_addrs;
    wire [NQ-1:0]    cq_phases, good, irqs;
    reg  [NQ-1:0]    irq_take;

    genvar g;
    generate
        for (g = 0; g < NQ; g = g + 1) begin : queue
            localparam [2:0] ME = g;
            ring_queue q (
                .clk(clk), .rst(rst), .enable(q_enable[g]), .start(q_start[g]), .run(run),
                .sq_log2(q_sq_log2[g*4+:4]), .cq_log2(q_cq_log2[g*4+:4]),
                .sq_base(q_sq_base[g*64+:64]), .cq_base(q_cq_base[g*64+:64]),
                .db_sq(db_sq && db_q == ME), .db_cq(db_cq && db_q == ME), .db_data(db_data),
                .db_good(good[g]),
                .room(room[g*3+:3]), .sq_addr(sq_addr[g*64+:64]),
                .issue(g == 0 ? sa_issue : pkt_issue && pkt_issue_q == ME),
                .issue_n(g == 0 ? 3'd1 : pkt_issue_n),
                .recv(g == 0 ? sa_recv : pkt_recv && pkt_recv_q == ME),
                .recv_err(g == 0 ? sa_recv_err : pkt_recv_err),
                .cq_addr(cq_addrs[g*64+:64]), .cq_phase(cq_phases[g]),
                .alloc(cq_alloc && cq_q == ME), .done(cq_ack && cq_ack_q == ME), .done_err(cq_ack_err),
                .irq(irqs[g]), .irq_taken(irq_take[g]),
                .sq_head(sq_head[g*32+:32]), .cq_done(cq_done[g*32+:32]), .sq_issued(sq_issued[g*32+:32]),
                .finished(finished[g*32+:32]), .active(active[g]), .cause(cause[g*2+:2]));
        end
    endgenerate

    integer i;
    integer c;
    always @* begin
        cq_addr = cq_addrs[63:0];
        cq_phase = cq_phases[0];
        cq_sq_head = sq_head[30:0];
        for (i = 1; i < NQ; i = i + 1) begin
            if (cq_q == i[2:0]) begin
                cq_addr = cq_addrs[i*64+:64];
                cq_phase = cq_phases[i];
                cq_sq_head = sq_head[i*32+:31];
            end
        end
    end
    assign db_good = |good;

    // One interrupt request at a time to the shell; the lowest queue first.
    reg [NQ-1:0] pick;
    reg [7:0]    pick_vector;
    always @* begin
        pick = {NQ{1'b0}};
        pick_vector = 8'd0;
        for (c = NQ - 1; c >= 0; c = c - 1)
            if (irqs[c]) begin
                pick = {NQ{1'b0}};
                pick[c] = 1'b1;
                pick_vector = q_vector[c*8+:8];
            end
        irq_take = irq_valid ? {NQ{1'b0}} : pick;
    end
    assign irq_waiting = irq_valid || |irqs;

    always @(posedge clk) begin
        if (irq_valid && irq_ready)
            irq_valid <= 1'b0;
        if (!irq_valid && |irqs) begin
            irq_valid <= 1'b1;
            irq_vector <= pick_vector;
        end
        if (rst)
            irq_valid <= 1'b0;
    end
endmodule

`default_nettype wire
