// SPDX-License-Identifier: Apache-2.0
// Fetches packet descriptors: round robin over queues 1 ... NQ-1, up to four 64-byte entries in one read burst, many
// bursts in flight. What comes back is one stream of descriptors, each with its queue, for ring_dispatch.
//
// The read channel is always ready: an entry's place in the descriptor FIFO is reserved when its read is issued.
// Latency from the last beat of an entry to `desc_valid`: 3 cycles. Contract: read data comes in the order of the
// addresses and at least two cycles after its address.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

/* verilator lint_off PINCONNECTEMPTY */ // FIFO levels that nobody needs
module ring_fetch #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // queues including queue 0
    parameter NQ = 3,
    // log2 of the descriptors held or in flight
    parameter LOG2_DESC = 7,
    parameter W = 128 * LANES
) (
    input  wire             clk,
    input  wire             rst,
    // queues
    input  wire [NQ*3-1:0]  room,
    input  wire [NQ*64-1:0] sq_addr,
    output reg              issue,
    output reg  [2:0]       issue_q,
    output reg  [2:0]       issue_n,
    output reg              recv,
    output reg  [2:0]       recv_q,
    output reg              recv_err,
    // read address and data
    output reg              ar_valid,
    input  wire             ar_ready,
    output reg  [63:0]      ar_addr,
    output reg  [3:0]       ar_beats_m1,
    input  wire             r_valid,
    input  wire [W-1:0]     r_data,
    input  wire             r_err,
    // descriptors: queue, the first 40 bytes, and whether the rest, reserved here, is not zero
    output wire             desc_valid,
    input  wire             desc_ready,
    output wire [2:0]       desc_q,
    output wire [319:0]     desc,
    output wire             desc_rest,
    output wire             busy
);
    // beats of one entry, less one
    localparam [1:0] ENTRY_M1 = (LANES == 1) ? 2'd3 : (LANES == 2) ? 2'd1 : 2'd0;
    // what was issued in the last two cycles, at most four entries each, is not in the count yet
    localparam [LOG2_DESC:0] HELD_MAX = (1 << LOG2_DESC) - 12;

    // ---- choice: the next queue after the last one served that has something
    reg [2:0]  last_q, next_q, next_n;
    reg [63:0] next_addr;
    integer    i;
    always @* begin
        next_q = 3'd0;
        next_n = 3'd0;
        next_addr = 64'd0;
        for (i = NQ - 1; i >= 1; i = i - 1)
            if (room[i*3+:3] != 3'd0 && i[2:0] <= last_q) begin
                next_q = i[2:0];
                next_n = room[i*3+:3];
                next_addr = sq_addr[i*64+:64];
            end
        for (i = NQ - 1; i >= 1; i = i - 1)
            if (room[i*3+:3] != 3'd0 && i[2:0] > last_q) begin
                next_q = i[2:0];
                next_n = room[i*3+:3];
                next_addr = sq_addr[i*64+:64];
            end
    end

    reg  [LOG2_DESC:0] held;
    reg  [2:0]         add;          // entries issued in the last cycle
    reg                less_taken, less_gone;
    wire               can = next_n != 3'd0 && held <= HELD_MAX && (!ar_valid || ar_ready);
    wire [3:0]         next_beats_m1 = (LANES == 1) ? {next_n[1:0] - 2'd1, 2'b11} :
                                       (LANES == 2) ? {1'b0, next_n[1:0] - 2'd1, 1'b1} :
                                       {2'b00, next_n[1:0] - 2'd1};
    always @* begin
        issue = can;
        issue_q = next_q;
        issue_n = next_n;
    end

    // ---- reads in flight, in order
    wire       fly_valid;
    wire [2:0] fly_q, fly_n;
    wire       fly_pop;
    // always has room: each read holds one descriptor's credit at least
    fifo #(.W(6), .LOG2_D(LOG2_DESC)) fly (
        .clk(clk), .rst(rst), .wr_valid(can), .wdata({next_q, next_n}), .wr_ready(), .level(),
        .rd_valid(fly_valid), .rd_ready(fly_pop), .rdata({fly_q, fly_n}));

    // ---- assembly of entries from beats
    reg  [1:0]   beat;
    reg  [2:0]   entry;
    reg          err_seen;
    reg  [511:0] sqe;
    wire         entry_end = r_valid && beat == ENTRY_M1;
    wire         entry_err = r_err || err_seen;
    assign fly_pop = entry_end && entry + 3'd1 == fly_n;

    generate
        if (LANES == 4) begin : whole
            always @(posedge clk)
                if (r_valid)
                    sqe <= r_data;
        end else begin : part
            always @(posedge clk)
                if (r_valid)
                    sqe <= {r_data, sqe[511:W]};
        end
    endgenerate

    // ---- descriptors out
    // always has room: credits
    fifo #(.W(324), .LOG2_D(LOG2_DESC)) fifo (
        .clk(clk), .rst(rst), .wr_valid(recv && !recv_err), .wdata({sqe[511:320] != 192'd0, recv_q, sqe[319:0]}), .wr_ready(),
        .level(), .rd_valid(desc_valid), .rd_ready(desc_ready), .rdata({desc_rest, desc_q, desc}));

    wire taken = desc_valid && desc_ready;
    wire gone = recv && recv_err;
    assign busy = held != 0 || add != 3'd0 || next_n != 3'd0 || ar_valid;

    always @(posedge clk) begin
        if (ar_ready)
            ar_valid <= 1'b0;
        if (can) begin
            ar_valid <= 1'b1;
            ar_addr <= next_addr;
            ar_beats_m1 <= next_beats_m1;
            last_q <= next_q;
        end
        recv <= entry_end;
        recv_q <= fly_q;
        recv_err <= entry_err;
        if (r_valid) begin
            beat <= (beat == ENTRY_M1) ? 2'd0 : beat + 2'd1;
            err_seen <= (beat == ENTRY_M1) ? 1'b0 : entry_err;
        end
        if (entry_end)
            entry <= fly_pop ? 3'd0 : entry + 3'd1;
        add <= can ? next_n : 3'd0;
        less_taken <= taken;
        less_gone <= gone;
        held <= held + {{(LOG2_DESC-2){1'b0}}, add} - {{LOG2_DESC{1'b0}}, less_taken} - {{LOG2_DESC{1'b0}}, less_gone};
        if (rst) begin
            ar_valid <= 1'b0;
            last_q <= 3'd0;
            recv <= 1'b0;
            beat <= 2'd0;
            entry <= 3'd0;
            err_seen <= 1'b0;
            held <= {(LOG2_DESC+1){1'b0}};
            add <= 3'd0;
            less_taken <= 1'b0;
            less_gone <= 1'b0;
        end
    end

    wire unused = &{1'b0, fly_valid, room[2:0], sq_addr[63:0], 1'b0};
endmodule
/* verilator lint_on PINCONNECTEMPTY */

`default_nettype wire
