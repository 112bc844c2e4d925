// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 6: the store of opened beats and the output stream. Only here does plaintext leave,
// and only for a packet whose verdict is OK; the beats of the others are skipped in one step.
//
// One output beat a cycle without a gap between packets; latency 1 cycle from job to first beat. A block RAM's output is late, so the
// next beat is read ahead, whether its job has come or not, and goes into a register by itself as it leaves. The first
// beat gets the inner TOS and header checksum that the verdict asks for. In transport mode the packet's own IPv4 header comes
// first, with the length, next header and checksum of what was inside, and the stored beats move down behind it: an output beat
// is put together of two. Byte n of a packet is byte n modulo KB of the bus.
// Contract: a packet's beats are in the store a cycle before its job comes. `free_beats` is what a packet gives back, valid with
// `free` when its last beat has been read; the writer never holds more than 2^LOG2_D beats. m_* is stable while m_valid && !m_ready. A packet of a passed
// epoch leaves as ABORTED, where it had begun already with an empty last beat.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_rx_egress #(
    parameter LANES = 1,
    parameter LOG2_SA = 10,
    parameter TAGW = 16,
    // log2 of the store's beats
    parameter LOG2_D = 11
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 wipe,
    input  wire [7:0]           epoch,

    // opened beats
    input  wire                 p_valid,
    input  wire [128*LANES-1:0] p_data,

    input  wire                 e_valid,
    output wire                 e_take,
    input  wire [7:0]           e_epoch,
    input  wire [TAGW-1:0]      e_tag,
    input  wire [4:0]           e_status,
    input  wire                 e_found,
    input  wire [LOG2_SA-1:0]   e_slot,
    input  wire [15:0]          e_gen,
    input  wire [63:0]          e_seq,
    input  wire                 e_soft,
    input  wire                 e_src_changed,
    input  wire [15:0]          e_len,
    // it is not more than one beat
    input  wire                 e_single,
    input  wire [LOG2_D:0]      e_beats,
    input  wire                 e_patch,
    input  wire [7:0]           e_tos,
    input  wire [15:0]          e_sum,
    input  wire                 e_transport,
    input  wire [7:0]           e_next,
    // TOS, identification, flags, TTL and addresses, octets in wire order from each field's bit 0 on
    input  wire [97:0]          e_head,

    output wire                 free,
    output wire [LOG2_D:0]      free_beats,

    output reg                  m_valid,
    input  wire                 m_ready,
    output wire [128*LANES-1:0] m_data,
    output wire [16*LANES-1:0]  m_keep,
    output reg                  m_last,
    output reg  [TAGW-1:0]      m_tag,
    output wire [15:0]          m_status,
    output reg  [63:0]          m_seq,
    output wire [31:0]          m_sa,
    output reg  [15:0]          m_gen,
    output reg  [15:0]          m_len,
    output reg                  m_soft,
    output reg                  m_src_changed
);
    localparam W = 128 * LANES;
    localparam KB = 16 * LANES;
    localparam LB = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;
    localparam [15:0] KB16 = KB[15:0];
    localparam [15:0] TWO_KB = KB16 << 1;
    localparam [15:0] ABORTED16 = `ESPC_STATUS_ABORTED;
    localparam [4:0] ABORTED = ABORTED16[4:0];
    // transport mode: octets of an output beat from the beat before; of a beat of 16 the header fills the first
    localparam OVER = (LANES == 1) ? 4 : 20;
    localparam OW = 8 * OVER;
    localparam [15:0] OVER16 = OVER;
    localparam HEAD_BEAT = (LANES == 1) ? 1'b1 : 1'b0;

    reg [W-1:0] mem [0:(1<<LOG2_D)-1];
    reg [W-1:0] ahead;           // what is stored at `at`
    reg [W-1:0] q;
    reg [LOG2_D-1:0] wptr;
    reg [LOG2_D-1:0] base;       // first stored beat of the packet whose turn it is
    reg [LOG2_D-1:0] at;         // the one of its beats that is next
    reg [15:0] left;             // bytes still to send, of a packet that has begun
    reg last;                    // they fit into one beat
    reg begun;
    reg dry;                     // transport mode: the packet's last octets are in the beat read before

    wire move = !m_valid || m_ready;
    wire stale = wipe || e_epoch != epoch;
    wire ok = !stale && e_status == 5'd0;
    wire [15:0] todo = begun ? left : e_len;
    wire end_of_packet = !ok || (begun ? last : e_single);
    wire go = move && e_valid;
    assign e_take = go && end_of_packet;
    assign free = e_take && !stale;
    assign free_beats = e_beats;

    // the packet's own header again
    wire [7:0] head_tos, head_ttl;
    wire [15:0] head_id;
    wire [1:0] head_flags;
    wire [63:0] head_ends;
    assign {head_tos, head_id, head_flags, head_ttl, head_ends[31:0], head_ends[63:32]} = e_head;
    wire [159:0] head = {head_ends, e_sum[7:0], e_sum[15:8], e_next, head_ttl, 8'd0, head_flags, 6'd0, head_id, e_len[7:0],
                         e_len[15:8], head_tos, 8'h45};
    // nothing is read for a beat that is all header, nor where nothing of the packet is left to read
    wire read = !e_transport || (begun ? !dry : !HEAD_BEAT);

    wire [LOG2_D-1:0] after = stale ? base : base + e_beats[LOG2_D-1:0];
    wire [LOG2_D-1:0] next = !go ? at : end_of_packet ? after : at + {{LOG2_D-1{1'b0}}, read};

    reg [LB:0] bytes;
    reg patch, moved, whole;
    // what a beat has of the header, or of the stored beat before
    reg [159:0] over;
    reg [7:0] tos;
    reg [15:0] sum;
    reg [4:0] status;
    reg found;
    reg [LOG2_SA-1:0] slot;

    always @(posedge clk) begin
        if (p_valid || wipe)
            mem[wptr] <= wipe ? {W{1'b0}} : p_data;
        if (p_valid || wipe)
            wptr <= wptr + 1'b1;
        ahead <= mem[next];
        if (go && ok && read)
            q <= ahead;

        if (move)
            m_valid <= e_valid;
        if (go) begin
            m_last <= end_of_packet;
            bytes <= !ok ? {LB+1{1'b0}} : (todo < KB16) ? todo[LB:0] : KB16[LB:0];
            patch <= ok && e_patch && !begun;
            moved <= e_transport;
            whole <= e_transport && HEAD_BEAT && !begun;
            over[159:128] <= head[159:128];
            if (!begun)
                over[127:0] <= head[127:0];
            else
                over[OW-1:0] <= (whole && HEAD_BEAT) ? over[159 -: OW] : q[W-1 -: OW];
            dry <= todo < KB16 + OVER16 + 16'd1;
            tos <= e_tos;
            sum <= e_sum;
            m_tag <= e_tag;
            status <= stale ? ABORTED : e_status;
            found <= e_found && !stale;
            slot <= e_slot;
            m_gen <= (e_found && !stale) ? e_gen : 16'd0;
            m_seq <= (e_found && !stale) ? e_seq : 64'd0;
            m_len <= ok ? e_len : 16'd0;
            m_soft <= e_soft;
            m_src_changed <= e_src_changed;

            begun <= !end_of_packet;
            left <= todo - KB16;
            last <= todo < TWO_KB + 16'd1;
            if (end_of_packet)
                base <= after;
        end
        at <= next;
        if (rst || wipe) begin
            base <= wipe ? wptr + 1'b1 : {LOG2_D{1'b0}};
            at <= wipe ? wptr + 1'b1 : {LOG2_D{1'b0}};
        end
        if (rst) begin
            wptr <= {LOG2_D{1'b0}};
            begun <= 1'b0;
            m_valid <= 1'b0;
        end
    end

    wire [W-1:0] plain = {q[W-1:96], patch ? {sum[7:0], sum[15:8]} : q[95:80], q[79:16], patch ? tos : q[15:8],
        q[7:0]};
    wire [W-1:0] turned = {q[W-OW-1:0], over[OW-1:0]};
    generate
        if (LANES == 1) begin : head_beat
            assign m_data = whole ? over[127:0] : moved ? turned : plain;
        end else begin : head_part
            assign m_data = moved ? turned : plain;
        end
    endgenerate
    assign m_keep = ~({KB{1'b1}} << bytes);
    assign m_status = {11'd0, status};
    assign m_sa = found ? {{32-LOG2_SA{1'b0}}, slot} : 32'hffffffff;
endmodule

`default_nettype wire
