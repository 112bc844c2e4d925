// SPDX-License-Identifier: Apache-2.0
// The indices of one queue pair: submission tail (doorbell), issued, received; completion tail, written, consumed by the
// host; the interrupt's arm. All are free-running. Every entry fetched makes exactly one completion, so a fetch needs
// room in the completion ring: the host's CQ is never overrun. A doorbell that makes no sense and a bus error on a ring stop
// this queue alone, with an interrupt: it fetches nothing more and hears no doorbell until it is started afresh.
//
// `room` and `sq_addr` are worked out over some cycles after each change, and `room` is 0 until they are: so a doorbell
// is judged by indices that no fetch moves meanwhile. Latency: a doorbell counts two cycles after it came, shows in `room`
// after six. Contract: issue_n <= room in the cycle of `issue`; doorbells come three cycles apart or more; sizes are at
// least 4 entries; bases are aligned to 64 bytes.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

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
    // fetch: entries of one burst that may be fetched now (one aligned block of 256 bytes, not across the ring's end)
    output reg  [2:0]  room,
    output reg  [63:0] sq_addr,
    input  wire        issue,
    input  wire [2:0]  issue_n,
    input  wire        recv,
    input  wire        recv_err,
    // completions: `alloc` takes the slot shown, `done` when its write has been acknowledged
    output reg  [63:0] cq_addr,
    output reg         cq_phase,
    input  wire        alloc,
    input  wire        done,
    input  wire        done_err,
    // interrupt request, held until taken
    output reg         irq,
    input  wire        irq_taken,
    output reg  [31:0] sq_head,
    output reg  [31:0] cq_done,
    output reg  [31:0] sq_issued,
    output reg  [31:0] finished,
    output wire        active,
    // why the queue has stopped, 0: it has not (enum queue_cause)
    output reg  [1:0]  cause
);
    // from a doorbell, and from a fetch, to indices that count it
    localparam [2:0] SETTLE_DOORBELL = 3'd4, SETTLE_FETCH = 3'd2;

    reg  [31:0] sq_tail, cq_tail, cq_head;
    reg         armed;
    wire [31:0] sq_size = 32'd1 << sq_log2;
    wire [31:0] cq_size = 32'd1 << cq_log2;

    assign active = sq_issued != finished;

    // ---- errors: the first one stops the queue until it is started afresh
    localparam [7:0] BAD_DOORBELL = `ESPC_QUEUE_CAUSE_BAD_DOORBELL, SQ_READ = `ESPC_QUEUE_CAUSE_SQ_READ,
                     CQ_WRITE = `ESPC_QUEUE_CAUSE_CQ_WRITE;
    reg         db_bad;
    wire        sq_bad = recv && recv_err;
    wire        cq_bad = done && done_err;
    wire        failed = cause != 2'd0;
    always @(posedge clk)
        if (rst || start)
            cause <= 2'd0;
        else if (!failed)
            cause <= db_bad ? BAD_DOORBELL[1:0] : sq_bad ? SQ_READ[1:0] : cq_bad ? CQ_WRITE[1:0] : 2'd0;

    // ---- room: the smallest of entries waiting, room in the completion ring, entries to the ring's end and to the next
    // block of 256 bytes
    function [2:0] at_most_four(input [31:0] n);
        at_most_four = (n[31:2] != 30'd0) ? 3'd4 : {1'b0, n[1:0]};
    endfunction

    reg  [2:0]  settle;
    reg  [31:0] waiting, cq_used, cq_free;
    reg  [2:0]  n_fit, n_wait;
    reg  [20:0] addr_low;
    wire [14:0] sq_slot = sq_issued[14:0] & (sq_size[14:0] - 15'd1);
    wire [1:0]  in_block = sq_base[7:6] + sq_slot[1:0];
    wire [2:0]  to_block = 3'd4 - {1'b0, in_block};
    wire [2:0]  to_end = ({sq_slot[14:2], 2'd3} == sq_size[14:0] - 15'd1) ? 3'd4 - {1'b0, sq_slot[1:0]} : 3'd4;
    wire [2:0]  n_cq = at_most_four(cq_free);
    wire [2:0]  n_least = (n_wait < n_fit) ? n_wait : n_fit;

    always @(posedge clk) begin
        waiting <= sq_tail - sq_issued;
        cq_used <= sq_issued - cq_head;
        n_fit <= (to_block < to_end) ? to_block : to_end;
        addr_low <= {1'b0, sq_base[25:6]} + {6'd0, sq_slot};

        cq_free <= cq_size - cq_used;
        n_wait <= at_most_four(waiting);
        sq_addr <= {sq_base[63:26] + {37'd0, addr_low[20]}, addr_low[19:0], 6'd0};

        if (settle != 3'd0)
            settle <= settle - 3'd1;
        room <= (settle != 3'd0 || !(enable && run) || failed || db_bad || sq_bad || cq_bad) ? 3'd0 : (n_cq < n_least) ? n_cq : n_least;
        if (db_sq || db_cq || start || rst)
            settle <= SETTLE_DOORBELL;
        else if (issue)
            settle <= SETTLE_FETCH;
        if (db_sq || db_cq || start || rst || issue)
            room <= 3'd0;
    end

    // ---- doorbells: a new tail lies between what was fetched and one ring beyond what was consumed; a new head between
    // the old one and the completion ring's tail. The host counts 31 bits of the head.
    reg         tail_1, tail_2, head_1, head_2;
    reg  [31:0] data_1, data_2, ahead, span;
    reg  [30:0] behind, head_span;
    wire        tail_ok = up_to(ahead, sq_log2) && up_to(span, sq_log2);
    wire        head_ok = behind <= head_span;

    // n <= 2^log2
    function up_to(input [31:0] n, input [3:0] log2);
        up_to = (n >> log2) == 32'd0 || n == 32'd1 << log2;
    endfunction

    always @(posedge clk) begin
        tail_1 <= db_sq && enable && !failed && !rst;
        head_1 <= db_cq && enable && !failed && !rst;
        data_1 <= db_data;
        tail_2 <= tail_1 && !rst && !start;
        head_2 <= head_1 && !rst && !start;
        data_2 <= data_1;
        ahead <= data_1 - sq_issued;
        span <= data_1 - sq_head;
        behind <= cq_tail[30:0] - data_1[30:0];
        head_span <= cq_tail[30:0] - cq_head[30:0];
        db_good <= !rst && ((tail_2 && tail_ok) || (head_2 && head_ok));
        db_bad <= !rst && !start && ((tail_2 && !tail_ok) || (head_2 && !head_ok));
    end

    // ---- the completion ring's next slot
    wire cq_last = (cq_tail[14:0] | ~(cq_size[14:0] - 15'd1)) == 15'h7fff;

    always @(posedge clk) begin
        if (tail_2 && tail_ok)
            sq_tail <= data_2;
        if (head_2 && head_ok)
            cq_head <= {cq_head[31] ^ (data_2[30:0] < cq_head[30:0]), data_2[30:0]};
        if (issue)
            sq_issued <= sq_issued + {29'd0, issue_n};
        if (recv)
            sq_head <= sq_head + 32'd1;
        if (alloc) begin
            cq_tail <= cq_tail + 32'd1;
            cq_addr <= cq_last ? cq_base : cq_addr + 64'd32;
            cq_phase <= cq_phase ^ cq_last;
        end
        if (done)
            cq_done <= cq_done + 32'd1;
        finished <= finished + {30'd0, sq_bad && done, sq_bad != done};
        if (irq_taken)
            irq <= 1'b0;
        if (armed && cq_done != cq_head) begin
            irq <= 1'b1;
            armed <= 1'b0;
        end
        if (head_2 && head_ok && data_2[31])
            armed <= 1'b1;
        if (!failed && (db_bad || sq_bad || cq_bad))
            irq <= 1'b1;
        if (rst || start) begin
            sq_tail <= 32'd0;
            sq_issued <= 32'd0;
            sq_head <= 32'd0;
            cq_tail <= 32'd0;
            cq_done <= 32'd0;
            cq_head <= 32'd0;
            cq_addr <= cq_base;
            cq_phase <= 1'b1;
            finished <= 32'd0;
            armed <= 1'b0;
            irq <= 1'b0;
        end
    end

    wire unused = &{1'b0, BAD_DOORBELL, SQ_READ, CQ_WRITE, sq_base[5:0], sq_size[31:15], 1'b0};
endmodule

`default_nettype wire
