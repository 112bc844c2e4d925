// SPDX-License-Identifier: Apache-2.0
// The indices of one queue pair: submission tail (doorbell), issued, received; completion tail, written, consumed by the
// host; the interrupt's arm. All are free-running. Every entry fetched makes exactly one completion, so a fetch needs
// room in the completion ring: the host's CQ is never overrun.
//
// Latency: a doorbell shows in `room` one cycle later. Contract: issue_n <= room in the cycle of `issue`.
`default_nettype none

module ring_queue (
    input  wire        clk,
    input  wire        rst,
    // configuration, stable while `enable` is set; `start` comes with the cycle in which enable goes up
    input  wire        enable,
    input  wire        start,
    input  wire        run,
    input  wire [3:0]  sq_log2,
    input  wire [3:0]  cq_log2,
    input  wire [63:0] sq_base,
    input  wire [63:0] cq_base,
    // doorbells
    input  wire        db_sq,
    input  wire        db_cq,
    input  wire [31:0] db_data,
    output reg         db_good,
    output reg         db_bad,
    // fetch: entries of one burst that may be fetched now (one aligned block of 256 bytes, not across the ring's end)
    output reg  [2:0]  room,
    output wire [63:0] sq_addr,
    input  wire        issue,
    input  wire [2:0]  issue_n,
    input  wire        recv,
    input  wire        recv_err,
    // completions: `alloc` takes the slot shown, `done` when its write has been acknowledged
    output wire [63:0] cq_addr,
    output wire        cq_phase,
    input  wire        alloc,
    input  wire        done,
    // interrupt request, held until taken
    output reg         irq,
    input  wire        irq_taken,
    output reg  [31:0] sq_head,
    output reg  [31:0] cq_done,
    output reg  [31:0] sq_issued,
    output wire [31:0] finished,
    output wire        active
);
    reg  [31:0] sq_tail, cq_tail, cq_head, lost;
    reg         armed;

    wire [31:0] sq_size = 32'd1 << sq_log2;
    wire [31:0] cq_size = 32'd1 << cq_log2;
    wire [31:0] sq_mask = sq_size - 32'd1;
    wire [31:0] cq_mask = cq_size - 32'd1;
    wire [31:0] sq_slot = sq_issued & sq_mask;
    wire [31:0] cq_slot = cq_tail & cq_mask;

    assign sq_addr = sq_base + {26'd0, sq_slot, 6'd0};
    assign cq_addr = cq_base + {27'd0, cq_slot, 5'd0};
    assign cq_phase = (cq_tail & cq_size) == 32'd0;
    assign finished = cq_done + lost;
    assign active = sq_issued != finished;

    // Smallest of: entries waiting, room in the completion ring, entries to the ring's end, to the next 256-byte block.
    wire [31:0] waiting = sq_tail - sq_issued;
    wire [31:0] cq_used = sq_issued - cq_head;
    wire [31:0] cq_free = cq_size - cq_used;
    wire [31:0] to_end  = sq_size - sq_slot;
    wire [2:0]  to_block = 3'd4 - {1'b0, sq_addr[7:6]};
    wire [2:0]  n_wait = (waiting > 32'd4) ? 3'd4 : waiting[2:0];
    wire [2:0]  n_cq = (cq_free > 32'd4) ? 3'd4 : cq_free[2:0];
    wire [2:0]  n_end = (to_end > 32'd4) ? 3'd4 : to_end[2:0];
    wire [2:0]  n_a = (n_wait < n_cq) ? n_wait : n_cq;
    wire [2:0]  n_b = (n_end < to_block) ? n_end : to_block;
    always @* room = !(enable && run) ? 3'd0 : (n_a < n_b) ? n_a : n_b;

    // A new tail lies between what was fetched and one ring beyond what was consumed; a new head between the old one
    // and the completion ring's tail. The host counts 31 bits of the head.
    wire [31:0] tail_ahead = db_data - sq_issued;
    wire [31:0] tail_span  = db_data - sq_head;
    wire        tail_ok = tail_ahead <= sq_size && tail_span <= sq_size;
    wire [30:0] head_behind = cq_tail[30:0] - db_data[30:0];
    wire [30:0] head_span = cq_tail[30:0] - cq_head[30:0];
    wire        head_ok = head_behind <= head_span;
    wire [30:0] head_step = db_data[30:0] - cq_head[30:0];

    always @(posedge clk) begin
        db_good <= 1'b0;
        db_bad <= 1'b0;
        if (enable && !rst) begin
            if (db_sq) begin
                db_good <= tail_ok;
                db_bad <= !tail_ok;
                if (tail_ok)
                    sq_tail <= db_data;
            end
            if (db_cq) begin
                db_good <= head_ok;
                db_bad <= !head_ok;
                if (head_ok)
                    cq_head <= cq_head + {1'b0, head_step};
            end
        end
        if (issue)
            sq_issued <= sq_issued + {29'd0, issue_n};
        if (recv)
            sq_head <= sq_head + 32'd1;
        if (recv && recv_err)
            lost <= lost + 32'd1;
        if (alloc)
            cq_tail <= cq_tail + 32'd1;
        if (done)
            cq_done <= cq_done + 32'd1;
        if (irq_taken)
            irq <= 1'b0;
        if (armed && cq_done != cq_head) begin
            irq <= 1'b1;
            armed <= 1'b0;
        end
        if (enable && db_cq && head_ok && db_data[31])
            armed <= 1'b1;
        if (rst || start) begin
            sq_tail <= 32'd0;
            sq_issued <= 32'd0;
            sq_head <= 32'd0;
            cq_tail <= 32'd0;
            cq_done <= 32'd0;
            cq_head <= 32'd0;
            lost <= 32'd0;
            armed <= 1'b0;
            irq <= 1'b0;
        end
    end
endmodule

`default_nettype wire
