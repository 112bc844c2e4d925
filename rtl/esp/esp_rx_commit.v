// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 5: the verdict on each packet, in order. Compares the ICV, checks and sets the replay
// window in one step (RFC 4303 section 3.4.3), keeps the SAs' counters and limits, and checks what was inside
// (sections 2.4 to 2.7; ECN by RFC 6040 section 4.2, checksums by RFC 1624: the inner header's, and in transport mode the packet's own).
//
// The verdict is what one packet after the other would get: the look-up's early look at the window is never
// the last word on the reason. With ESN a number left of the window stands for the one 2^32 further on, whose
// ICV cannot be right.
//
// Latency 4 cycles, one packet every 2 cycles: read (R), take what was read and what was opened (T), compare (A), decide (B);
// what a packet leaves stands in registers then (C) and is written in the second cycle (W). Reads are an even number of cycles
// apart, so that port B reads for one packet while another is between two writes: what the one two before it leaves stands beside what
// was read in A, as does what the one before leaves, and is taken where that is of its slot. So a hot SA never sees stale state and
// runs at full rate. Block RAMs' outputs are late: they go into registers and nowhere else.
// Limits, which only the slot unit writes, are read a cycle before R by a port of their own. Sequence numbers are compared with
// the one before's as well as with what was read; which of both counts is chosen behind that.
// The window is a ring of 32 words of 64 numbers for each slot, each word tagged with the upper bits of its numbers: words left
// behind by a jump are told by their tag, and nothing ever has to be cleared.
// Contract: one job for each context, in order; a context stands still until it is taken, one with status OK has its SA, and waits
// for its opened packet (o_*).
// The slot unit's access (c_*) gets a cycle between any two packets, a write between two that are not of its slot's SA; `c_grant` is
// the cycle in which its read or write is done, and read data is valid in the second cycle after, in the registers that packets' are
// read into: a block RAM with one place to go to has it near. It writes while no packet of the slot is
// between its own read and write, which would put back what was there before; c_slot stands still from the cycle before a request.
// Limits (c_limits) are one less than the blob's, all ones where it has none, so that one comparison tells; but the hard one of
// bytes is as it is. A packet of a passed epoch, or under `wipe`, is ABORTED and changes no state; the epoch changes only as `wipe`
// begins, which lasts for longer than a packet is here.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_rx_commit #(
    parameter LANES = 1,
    parameter LOG2_SA = 10,
    parameter TAGW = 16
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 wipe,
    input  wire [7:0]           epoch,

    // contexts from the look-up
    input  wire                 x_valid,
    output wire                 x_take,
    input  wire [7:0]           x_epoch,
    input  wire [TAGW-1:0]      x_tag,
    input  wire [4:0]           x_status,
    input  wire                 x_found,
    input  wire [LOG2_SA-1:0]   x_slot,
    input  wire [15:0]          x_gen,
    input  wire [63:0]          x_seq,
    input  wire                 x_src_changed,
    input  wire [7:0]           x_tos,
    input  wire                 x_no_ecn,
    input  wire                 x_dscp_decap,
    input  wire                 x_esn,
    input  wire [10:0]          x_window,
    input  wire [15:0]          x_bytes,
    // transport mode; the outer header's checksum
    input  wire                 x_transport,
    input  wire [15:0]          x_sum,

    // opened packets
    // one is there, or will be in the next cycle; it is looked at with o_take
    input  wire                 o_soon,
    output wire                 o_take,
    // the packet had another length than it should
    input  wire                 o_cut,
    input  wire                 o_icv_ok,
    input  wire                 o_pad_ok,
    input  wire [7:0]           o_pad_len,
    input  wire [7:0]           o_next,
    input  wire [7:0]           o_version,
    input  wire [7:0]           o_tos,
    input  wire [15:0]          o_total,
    input  wire [15:0]          o_sum,
    input  wire [15:0]          o_whole,

    // the look-up's view of the sequence state
    input  wire                 top_en,
    input  wire [LOG2_SA-1:0]   top_addr,
    output wire [63:0]          top_rdata,
    input  wire                 win_en,
    input  wire [LOG2_SA+4:0]   win_addr,
    output wire [116:0]         win_rdata,

    // the slot unit: read counters and top, write all of a slot but the window, or write one word of the
    // window
    input  wire                 c_req,
    output wire                 c_grant,
    input  wire                 c_write_slot,
    input  wire                 c_write_word,
    input  wire [LOG2_SA-1:0]   c_slot,
    input  wire [4:0]           c_word,
    input  wire [116:0]         c_word_data,
    input  wire [63:0]          c_top,
    input  wire [255:0]         c_limits,
    output wire [63:0]          c_last_seq,
    output wire [63:0]          c_packets,
    output wire [63:0]          c_bytes,
    output wire [63:0]          c_drops,

    // jobs for the egress
    output reg                  e_valid,
    output reg  [7:0]           e_epoch,
    output reg  [TAGW-1:0]      e_tag,
    output reg  [4:0]           e_status,
    output reg                  e_found,
    output reg  [LOG2_SA-1:0]   e_slot,
    output reg  [15:0]          e_gen,
    output reg  [63:0]          e_seq,
    output reg                  e_soft,
    output reg                  e_src_changed,
    output reg  [15:0]          e_len,
    output reg  [15:0]          e_beats,
    output reg                  e_patch,
    output reg  [7:0]           e_tos,
    output reg  [15:0]          e_sum,
    output reg                  e_transport,
    output reg  [7:0]           e_next
);
    localparam KB_LESS_1 = 16 * LANES - 1;
    localparam [15:0] LAST_BYTE = KB_LESS_1[15:0];
    localparam LB = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;

    // ---- the order of cycles: port B reads for one packet and writes for another, never in the same cycle -------
    reg t, a, b, c, w;   // a packet is in this stage
    // the context stood here in the cycle before, so its limits have been read; of a passed epoch; to be opened
    reg x_stood, x_stale, x_open;
    wire opened = x_open && !wipe;
    wire ready = x_stood && (!opened || o_soon);
    // port B is free, and a packet read now meets what the packets before leave in T and in A: none is in T, B or W
    reg free;
    // a packet in A or C is of the slot unit's slot; one that has no SA leaves nothing, whatever number it comes with
    reg held;
    // The slot unit had the last free cycle, and a packet has waited for it since: then the packet is first. A packet of a passed
    // epoch does not wait to be opened, but waits for the slot unit's command to be over.
    reg slot_was, turn;
    reg opened_t, opened_a, opened_b, stale_t, stale_a, stale_b, found_t, found_a, found_b;
    reg [LOG2_SA-1:0] slot_t, slot_a, slot_b;
    assign c_grant = c_req && free && !turn && !(held && (c_write_slot || c_write_word));
    wire read = ready && free && !c_grant;
    wire slot_last = c_grant || (slot_was && !read);
    assign x_take = read;
    assign o_take = t && opened_t;

    always @(posedge clk) begin
        t <= read && !rst;
        a <= t && !rst;
        b <= a && !rst;
        c <= b && !rst;
        w <= c && !rst;
        free <= rst || !(read || a || c);
        held <= (t && found_t && slot_t == c_slot) || (b && found_b && slot_b == c_slot);
        x_stood <= x_valid && !read && !rst;
        x_stale <= wipe || x_epoch != epoch;
        x_open <= x_status == 5'd0 && !wipe && x_epoch == epoch;
        slot_was <= slot_last && !rst;
        turn <= slot_last && x_valid && !read && (x_status != 5'd0 || wipe || o_soon) && !rst;
    end

    // ---- state of the slots: port B is this unit's, and the slot unit's through it ------------------------
    wire [63:0] top_read;
    wire [116:0] word_read;
    wire [191:0] counts_read;
    wire [255:0] limits_read;
    // what the packet in C and W leaves
    reg [LOG2_SA-1:0] slot_c;
    reg [63:0] top_c;
    reg [116:0] word_c;
    reg [191:0] counts_c;
    reg write_top_c, write_word_c, write_counts_c;
    wire write_top = w && write_top_c;
    wire write_word = w && write_word_c;
    wire write_counts = w && write_counts_c;
    // port B reads whatever there is where it writes nothing
    wire b_en = w || c_req || x_valid;

    ram_ab #(.W(64), .LOG2_D(LOG2_SA)) top_ram (
        .clk(clk), .a_en(top_en), .a_addr(top_addr), .a_rdata(top_rdata),
        .b_en(b_en), .b_we(write_top || (c_grant && c_write_slot)),
        .b_addr(w ? slot_c : c_grant ? c_slot : x_slot), .b_wdata(w ? top_c : c_top), .b_rdata(top_read)
    );
    ram_ab #(.W(117), .LOG2_D(LOG2_SA + 5), .COLUMN(9)) win_ram (
        .clk(clk), .a_en(win_en), .a_addr(win_addr), .a_rdata(win_rdata),
        .b_en(b_en), .b_we(write_word || (c_grant && c_write_word)),
        .b_addr(w ? {slot_c, top_c[10:6]} : c_grant ? {c_slot, c_word} : {x_slot, x_seq[10:6]}),
        .b_wdata(w ? word_c : c_word_data), .b_rdata(word_read)
    );
    /* verilator lint_off PINCONNECTEMPTY */ // only this unit looks at counters and limits
    ram_ab #(.W(192), .LOG2_D(LOG2_SA)) count_ram (
        .clk(clk), .a_en(1'b0), .a_addr(x_slot), .a_rdata(),
        .b_en(b_en), .b_we(write_counts || (c_grant && c_write_slot)),
        .b_addr(w ? slot_c : c_grant ? c_slot : x_slot), .b_wdata(w ? counts_c : 192'd0), .b_rdata(counts_read)
    );
    ram_ab #(.W(256), .LOG2_D(LOG2_SA)) limit_ram (
        .clk(clk), .a_en(x_valid), .a_addr(x_slot), .a_rdata(limits_read),
        .b_en(c_grant && c_write_slot), .b_we(1'b1), .b_addr(c_slot), .b_wdata(c_limits), .b_rdata()
    );
    /* verilator lint_on PINCONNECTEMPTY */

    // ---- what is known of the packet itself --------------------------------------------------------------------------
    reg [7:0] epoch_t, epoch_a, epoch_b;
    reg [TAGW-1:0] tag_t, tag_a, tag_b;
    reg [4:0] status_t, status_a, status_b;
    reg src_changed_t, src_changed_a, src_changed_b, esn_t, esn_a, esn_b, checked_a;
    reg [15:0] gen_t, gen_a, gen_b, bytes_t;
    reg [63:0] seq_t, seq_a, seq_b;
    reg [10:0] window_t;
    // refused when it was looked up: as seen; as one before the first
    reg seen_t, seen_a, seen_b, start_t, start_a, start_b;

    always @(posedge clk) begin
        if (read) begin
            {epoch_t, tag_t, status_t, slot_t, gen_t, seq_t} <= {x_epoch, x_tag, x_status, x_slot, x_gen, x_seq};
            {opened_t, stale_t, found_t, src_changed_t, esn_t} <= {opened, x_stale || wipe, x_found, x_src_changed, x_esn};
            window_t <= x_window;
            bytes_t <= x_bytes;
            seen_t <= {11'd0, x_status} == `ESPC_STATUS_REPLAY_SEEN;
            start_t <= {11'd0, x_status} == `ESPC_STATUS_REPLAY_OLD && x_esn;
        end
        if (t) begin
            {epoch_a, tag_a, status_a, slot_a, gen_a, seq_a} <= {epoch_t, tag_t, status_t, slot_t, gen_t, seq_t};
            {opened_a, found_a, src_changed_a, esn_a, seen_a, start_a}
                <= {opened_t, found_t, src_changed_t, esn_t, seen_t, start_t};
            stale_a <= stale_t || wipe;
            checked_a <= window_t != 11'd0;
        end
        if (a) begin
            {epoch_b, tag_b, status_b, slot_b, gen_b, seq_b} <= {epoch_a, tag_a, status_a, slot_a, gen_a, seq_a};
            {opened_b, found_b, src_changed_b, esn_b, seen_b, start_b}
                <= {opened_a, found_a, src_changed_a, esn_a, seen_a, start_a};
            stale_b <= stale_a || wipe;
        end
    end

    // ---- T: what was inside ----------------------------------------------------------------------------------
    reg cut_a, cut_b, icv_ok_a, icv_ok_b, no_ecn_t, dscp_decap_t;
    reg [7:0] tos_t;
    wire [15:0] inner_head = {10'd0, o_version[3:0], 2'd0};
    reg transport_t, transport_a, transport_b;
    wire [15:0] inner = transport_t ? o_whole : (o_next == 8'd4) ? o_total : 16'd0;
    wire [15:0] pad_end = {8'd0, o_pad_len} + 16'd2;
    wire ce = !no_ecn_t && tos_t[1:0] == 2'd3;
    wire [1:0] ecn = (ce && o_tos[1:0] != 2'd0) ? 2'd3
                   : (!no_ecn_t && tos_t[1:0] == 2'd1 && o_tos[1:0] == 2'd2) ? 2'd1 : o_tos[1:0];
    wire [7:0] tos_new = {dscp_decap_t ? tos_t[7:2] : o_tos[7:2], ecn};

    reg dummy, pad_ok_a, pad_over, not_ip, bad_ip, no_ecn, patch_a, patch_b;
    reg [15:0] room, total_a, total_b, inner_a, beats_a, beats_b;
    reg [16:0] base_t, sum_a;
    reg [7:0] tos_a, tos_b, next_a, next_b;
    reg [9:0] step;
    wire [7:0] step_up = transport_t ? o_next : tos_new, step_down = transport_t ? o_pad_len : o_tos;

    always @(posedge clk) begin
        if (read) begin
            {transport_t, no_ecn_t, dscp_decap_t, tos_t} <= {x_transport, x_no_ecn, x_dscp_decap, x_tos};
            base_t <= {1'b0, ~x_sum} + 17'd65451;
        end
        if (t) begin
            {cut_a, icv_ok_a, pad_ok_a, inner_a} <= {o_cut, o_icv_ok, o_pad_ok, inner};
            total_a <= transport_t ? o_whole : o_total;
            {transport_a, next_a} <= {transport_t, o_next};
            dummy <= o_next == 8'd59;
            not_ip <= !transport_t && o_next != 8'd4;
            {pad_over, room} <= {1'b0, bytes_t} - {1'b0, pad_end};
            bad_ip <= !transport_t && (o_version[7:4] != 4'd4 || o_version[3:0] < 4'd5 || o_total < inner_head);
            no_ecn <= !transport_t && ce && o_tos[1:0] == 2'd0;
            tos_a <= tos_new;
            patch_a <= !transport_t && tos_new != o_tos;
            // RFC 1624, equation 3: of ~m + m' the version's bits are all ones, so what is added to ~HC is 0x10000 and the
            // difference of the TOS bytes less 1. In transport mode the length is less by SPI, number, IV, ICV (32 octets in all), the
            // trailer's two and the padding, and the next header comes back into ESP's place: 84 stand in base_t (as 0xffff - 84),
            // and by the second word's ~m another 0xffff, which is none.
            step <= {2'b0, step_up} + {2'b11, ~step_down};
            sum_a <= transport_t ? base_t : {1'b0, ~o_sum};
            beats_a <= opened_t ? (bytes_t + LAST_BYTE) >> LB : 16'd0;
        end
    end

    // ---- T: the state as it was read, and as the packet two before leaves it, where that is of the same slot and of the same word
    reg again_slot, again_word;
    always @(posedge clk) begin
        again_slot <= c && slot_c == x_slot;
        again_word <= c && slot_c == x_slot && top_c[10:6] == x_seq[10:6];
    end
    reg [63:0] top_a, top_d;
    reg [116:0] word_a;
    reg [63:0] word_d;
    reg [191:0] counts_a, counts_d;
    // what the packet two before leaves counts; in its word: the packet's tag, and its bit
    reg again_top_a, again_word_a, again_counts_a, again_fits, again_taken;
    reg [255:0] limits_t;
    // the first number that has the packet's left of its window, modulo 2^64; there is none below 2^64
    reg [63:0] edge_a;
    reg no_edge;
    // limits; how many bytes there may be before this packet, or that there may be no such packet
    reg [63:0] soft_packets, hard_packets, soft_bytes, soft_room, hard_room;
    reg soft_none, hard_none;
    // the packet before is of the same slot; of the same word; of the same tag
    reg next_slot, next_word, next_fits;
    // the slot unit's read was in the cycle before, so no packet's was
    reg granted;
    assign c_last_seq = top_a;
    assign {c_drops, c_bytes, c_packets} = counts_a;
    always @(posedge clk) begin
        if (read)
            limits_t <= limits_read;
        next_slot <= b && slot_b == slot_t;
        next_word <= b && slot_b == slot_t && seq_b[10:6] == seq_t[10:6];
        next_fits <= seq_b[63:11] == seq_t[63:11];
        granted <= c_grant;
        if (t || granted)
            {top_a, word_a, counts_a} <= {top_read, word_read, counts_read};
        if (t) begin
            {top_d, word_d, counts_d} <= {top_c, word_c[63:0], counts_c};
            again_top_a <= again_slot && write_top_c;
            again_word_a <= again_word && write_word_c;
            again_counts_a <= again_slot;
            again_fits <= top_c[63:11] == seq_t[63:11];
            again_taken <= word_c[{1'b0, seq_t[5:0]}];
            {no_edge, edge_a} <= {1'b0, seq_t} + {54'd0, window_t};
            soft_bytes <= limits_t[63:0];
            soft_packets <= limits_t[191:128];
            hard_packets <= limits_t[255:192];
            {soft_none, soft_room} <= {1'b0, limits_t[63:0]} - {49'd0, inner};
            {hard_none, hard_room} <= {1'b0, limits_t[127:64]} - {49'd0, inner};
        end
    end

    // ---- A: every comparison by itself, with the state as the packet before leaves it -------------------------------
    // a >= b as the borrow of a - b: mapped as written it would be a borrow or a test for equality behind it
    wire top_below, top_short, next_below, next_short;
    wire packets_over, packets_short, packets_above, hard_over, soft_over, soft_above, no_room, too_long;
    wire [63:0] packets_now, bytes_now, drops_now;
    assign {drops_now, bytes_now, packets_now} = next_slot ? counts_c : again_counts_a ? counts_d : counts_a;
    wire [63:0] top_now = again_top_a ? top_d : top_a;
    /* verilator lint_off UNUSEDSIGNAL */ // only their borrows are of use
    wire [63:0] top_left, top_past, next_left, next_past, packets_left, packets_past, packets_room, hard_left, soft_left, now_left;
    wire [15:0] past_head, past_total;
    /* verilator lint_on UNUSEDSIGNAL */
    assign {top_below, top_left} = {1'b0, top_now} - {1'b0, seq_a};
    assign {top_short, top_past} = {1'b0, top_now} - {1'b0, edge_a};
    assign {next_below, next_left} = {1'b0, top_c} - {1'b0, seq_a};
    assign {next_short, next_past} = {1'b0, top_c} - {1'b0, edge_a};
    assign {packets_over, packets_left} = {1'b0, hard_packets} - {1'b0, packets_now};
    assign {packets_short, packets_past} = {1'b0, packets_now} - {1'b0, soft_packets};
    assign {packets_above, packets_room} = {1'b0, soft_packets} - {1'b0, packets_now};
    assign {hard_over, hard_left} = {1'b0, hard_room} - {1'b0, bytes_now};
    assign {soft_over, soft_left} = {1'b0, soft_room} - {1'b0, bytes_now};
    assign {soft_above, now_left} = {1'b0, soft_bytes} - {1'b0, bytes_now};
    assign {no_room, past_head} = {1'b0, room} - 17'd20;
    assign {too_long, past_total} = {1'b0, room} - {1'b0, total_a};

    wire use_top = next_slot && write_top_c;
    wire use_word = next_word && write_word_c;
    wire newer = use_top ? next_below : top_below;
    wire short = use_top ? next_short : top_short;
    // (top - number) modulo 2^64 >= window
    wire beyond = newer ? (!no_edge || !short) : (!no_edge && !short);

    /* verilator lint_off UNUSEDSIGNAL */ // packet statuses have five bits, the header's names sixteen
    reg [15:0] inner_status;
    /* verilator lint_on UNUSEDSIGNAL */
    always @* begin
        if (dummy)
            inner_status = `ESPC_STATUS_DUMMY;
        else if (pad_over || !pad_ok_a)
            inner_status = `ESPC_STATUS_BAD_PAD;
        else if (not_ip)
            inner_status = `ESPC_STATUS_BAD_NEXT_HEADER;
        else if (no_room && !transport_a)
            inner_status = `ESPC_STATUS_TRUNCATED;
        else if (bad_ip)
            inner_status = `ESPC_STATUS_BAD_IP;
        else if (too_long && !transport_a)
            inner_status = `ESPC_STATUS_TRUNCATED;
        else
            inner_status = no_ecn ? `ESPC_STATUS_ECN_CE : `ESPC_STATUS_OK;
    end
    // the 0x10000 that the TOS bytes' difference has left out is added to the carries
    wire [17:0] sum_all = {1'd0, sum_a} + {{8{step[9]}}, step};
    wire [1:0] sum_carry = {sum_all[16] != sum_all[17], !sum_all[16]};

    reg newer_b, old_b, beyond_b, taken_b, fits_b, good_b, clean_b, hard_b, soft_now_b, soft_more_b;
    reg [4:0] inner_status_b;
    reg [63:0] word_b, packets_b, packets_more_b, bytes_b, bytes_more_b, drops_b, drops_more_b;
    reg [16:0] sum_b;
    always @(posedge clk)
        if (a) begin
            newer_b <= newer;
            beyond_b <= beyond;
            old_b <= !newer && checked_a && beyond;
            taken_b <= !newer && checked_a
                       && (use_word ? word_c[{1'b0, seq_a[5:0]}] : again_word_a ? again_taken : word_a[{1'b0, seq_a[5:0]}]);
            fits_b <= use_word ? next_fits : again_word_a ? again_fits : word_a[116:64] == seq_a[63:11];
            word_b <= use_word ? word_c[63:0] : again_word_a ? word_d : word_a[63:0];
            good_b <= opened_a && !stale_a && !wipe && !cut_a && icv_ok_a;

            packets_b <= packets_now;
            packets_more_b <= packets_now + 64'd1;
            bytes_b <= bytes_now;
            bytes_more_b <= bytes_now + {48'd0, inner_a};
            drops_b <= drops_now;
            drops_more_b <= drops_now + 64'd1;
            // one more is too much; has been reached; will be with this one
            hard_b <= packets_over || hard_none || hard_over;
            soft_now_b <= packets_above || soft_above;
            soft_more_b <= !packets_short || soft_none || soft_over;

            {cut_b, icv_ok_b, total_b, tos_b, patch_b, beats_b} <= {cut_a, icv_ok_a, total_a, tos_a, patch_a, beats_a};
            {transport_b, next_b} <= {transport_a, next_a};
            inner_status_b <= inner_status[4:0];
            clean_b <= inner_status == `ESPC_STATUS_OK;
            sum_b <= {1'b0, sum_all[15:0]} + {15'd0, sum_carry};
        end

    // ---- B: replay, limits, verdict, and the new state --------------------------------------------------------------
    wire gone = stale_b || wipe;
    wire again = taken_b && fits_b;
    wire mark = good_b && !wipe && !again && !old_b;
    wire ok = mark && clean_b && !hard_b;
    wire counted = found_b && !gone;
    // taken for a number before the first when looked up, but the window has left it behind by now
    wire past_start = start_b && beyond_b;

    /* verilator lint_off UNUSEDSIGNAL */ // as above
    reg [15:0] status;
    /* verilator lint_on UNUSEDSIGNAL */
    always @* begin
        status = {11'd0, status_b};
        if (gone)
            status = `ESPC_STATUS_ABORTED;
        // seen when looked up, and left of the window by now
        else if (seen_b && old_b)
            status = esn_b ? `ESPC_STATUS_ICV_FAIL : `ESPC_STATUS_REPLAY_OLD;
        else if (past_start)
            status = `ESPC_STATUS_ICV_FAIL;
        else if (opened_b) begin
            if (cut_b)
                status = `ESPC_STATUS_TRUNCATED;
            else if (old_b)
                status = esn_b ? `ESPC_STATUS_ICV_FAIL : `ESPC_STATUS_REPLAY_OLD;
            else if (again)
                status = `ESPC_STATUS_REPLAY_SEEN;
            else if (!icv_ok_b)
                status = `ESPC_STATUS_ICV_FAIL;
            else if (hard_b)
                status = `ESPC_STATUS_HARD_LIMIT;
            else
                status = {11'd0, inner_status_b};
        end
    end

    always @(posedge clk) begin
        e_valid <= b && !rst;
        if (b) begin
            slot_c <= slot_b;
            top_c <= seq_b;
            word_c <= {seq_b[63:11], (fits_b ? word_b : 64'd0) | (64'd1 << seq_b[5:0])};
            counts_c <= {(counted && !ok) ? drops_more_b : drops_b, ok ? bytes_more_b : bytes_b,
                         ok ? packets_more_b : packets_b};
            write_top_c <= mark && newer_b;
            write_word_c <= mark;
            write_counts_c <= counted;

            {e_epoch, e_tag, e_slot, e_gen} <= {epoch_b, tag_b, slot_b, gen_b};
            e_status <= status[4:0];
            e_found <= counted;
            e_seq <= (esn_b && (old_b || past_start)) ? {seq_b[63:32] + 32'd1, seq_b[31:0]} : seq_b;
            e_soft <= counted && (ok ? soft_more_b : soft_now_b);
            e_src_changed <= ok && src_changed_b;
            {e_len, e_beats, e_patch, e_tos} <= {total_b, beats_b, patch_b, tos_b};
            {e_transport, e_next} <= {transport_b, next_b};
            e_sum <= ~(sum_b[15:0] + {15'd0, sum_b[16]});
        end
    end
endmodule

`default_nettype wire
