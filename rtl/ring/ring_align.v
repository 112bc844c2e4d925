// SPDX-License-Identifier: Apache-2.0
// Payload in: keeps read data in a FIFO and shifts each packet so that its first byte is byte 0 of a beat, then hands it
// to the encapsulation or the decapsulation pipeline. The end of each packet's read data is told, with whether the bus
// answered a beat of it with an error.
//
// One beat a cycle; a packet that does not start on a beat costs one cycle more. Latency from the FIFO's head to the
// stream: 1 cycle (2 where shifted). Contract: read data arrives in the order of `pkt` records and only where
// ring_dispatch has reserved room; bytes of the last beat beyond its tkeep are undefined.
`default_nettype none

/* verilator lint_off PINCONNECTEMPTY */ // FIFO levels that nobody needs
module ring_align #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // log2 of the beats of the payload FIFO
    parameter LOG2_PAY = 9,
    // log2 of the packet records held
    parameter LOG2_PKT = 7,
    parameter W = 128 * LANES,
    parameter KB = 16 * LANES
) (
    input  wire          clk,
    input  wire          rst,
    // read data
    input  wire          r_valid,
    input  wire [W-1:0]  r_data,
    input  wire          r_err,
    output wire          pay_pop,
    // packet records from ring_dispatch
    input  wire          pkt_valid,
    output wire          pkt_room,
    input  wire [86:0]   pkt,
    // packets; `dec` says which pipeline, `tready` is that one's
    output reg           m_tvalid,
    input  wire          m_tready,
    output reg  [W-1:0]  m_tdata,
    output reg  [KB-1:0] m_tkeep,
    output reg           m_tlast,
    output reg           m_dec,
    output reg  [15:0]   m_tag,
    output reg  [31:0]   m_sa,
    output reg  [15:0]   m_gen,
    output reg  [15:0]   m_len,
    // all read data of a packet has come: its direction, and whether there was an error
    output reg           end_valid,
    output reg           end_dec,
    output reg           end_err,
    output wire          busy
);
    localparam LK = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    localparam [15:0] KB16 = KB[15:0];
    localparam [LK-1:0] ALL_BYTES = {LK{1'b1}};

    wire         in_valid;
    wire [W-1:0] in_data;
    wire         in_err, in_pop;
    // always has room: credits in ring_dispatch
    fifo #(.W(W+1), .LOG2_D(LOG2_PAY)) data (
        .clk(clk), .rst(rst), .wr_valid(r_valid), .wdata({r_err, r_data}), .wr_ready(), .level(),
        .rd_valid(in_valid), .rd_ready(in_pop), .rdata({in_err, in_data}));
    assign pay_pop = in_valid && in_pop;

    wire        rec_valid, rec_pop;
    wire [86:0] rec;
    fifo #(.W(87), .LOG2_D(LOG2_PKT)) packets (
        .clk(clk), .rst(rst), .wr_valid(pkt_valid), .wdata(pkt), .wr_ready(pkt_room), .level(),
        .rd_valid(rec_valid), .rd_ready(rec_pop), .rdata(rec));

    // ---- the packet being shifted
    reg          cur, primed, shifted;
    reg [LK-1:0] off;
    reg [15:0]   in_left, out_left, len, gen, tag;
    reg [31:0]   sa;
    reg          dec, err_seen;
    reg [W-1:0]  prev;

    wire         room = !m_tvalid || m_tready;
    wire         need_in = in_left != 16'd0;
    wire         fed = in_valid || !need_in;
    wire         prime = cur && shifted && !primed && in_valid;
    wire         move = cur && (primed || !shifted) && fed && room;
    wire         last = out_left <= KB16;
    wire [LK-1:0] last_m1 = out_left[LK-1:0] - 1'b1;
    wire [KB-1:0] keep = {KB{1'b1}} >> (ALL_BYTES - last_m1);

    assign in_pop = prime || (move && need_in);
    assign rec_pop = !cur || (move && last);
    assign busy = cur || rec_valid || in_valid || m_tvalid || end_valid;

    wire [15:0] rec_len = rec[79:64];
    wire [16:0] rec_end = {1'b0, rec_len} + {{(17-LK){1'b0}}, rec[80+:LK]} + {1'b0, KB16 - 16'd1};
    wire [16:0] rec_beats = rec_end >> LK;

    always @(posedge clk) begin
        if (m_tready)
            m_tvalid <= 1'b0;
        if (move) begin
            m_tvalid <= 1'b1;
            m_tdata <= shifted ? shift(in_data, prev, off) : in_data;
            m_tkeep <= last ? keep : {KB{1'b1}};
            m_tlast <= last;
            m_dec <= dec;
            m_tag <= tag;
            m_sa <= sa;
            m_gen <= gen;
            m_len <= len;
            out_left <= out_left - KB16;
            if (last)
                cur <= 1'b0;
        end
        if (prime)
            primed <= 1'b1;
        if (pay_pop) begin
            in_left <= in_left - 16'd1;
            if (shifted)
                prev <= in_data;
        end
        end_valid <= pay_pop && in_left == 16'd1;
        end_dec <= dec;
        end_err <= in_err || err_seen;
        if (pay_pop)
            err_seen <= in_left != 16'd1 && (in_err || err_seen);
        if (rec_valid && rec_pop) begin
            cur <= 1'b1;
            primed <= 1'b0;
            shifted <= rec[80+:LK] != {LK{1'b0}};
            off <= rec[80+:LK];
            in_left <= rec_beats[15:0];
            out_left <= rec_len;
            {dec, len, sa, gen, tag} <= {rec[86], rec[79:0]};
        end
        if (rst) begin
            cur <= 1'b0;
            m_tvalid <= 1'b0;
            end_valid <= 1'b0;
            err_seen <= 1'b0;
        end
    end

    // {high, low} without its lowest `by` bytes
    function [W-1:0] shift(input [W-1:0] high, input [W-1:0] low, input [LK-1:0] by);
        /* verilator lint_off UNUSEDSIGNAL */ // the upper half only takes part in the shift
        reg [2*W-1:0] both;
        /* verilator lint_on UNUSEDSIGNAL */
        begin
            both = {high, low} >> {by, 3'b000};
            shift = both[W-1:0];
        end
    endfunction

    wire unused = &{1'b0, rec_beats[16], rec[85:80], 1'b0};
endmodule
/* verilator lint_on PINCONNECTEMPTY */

`default_nettype wire
