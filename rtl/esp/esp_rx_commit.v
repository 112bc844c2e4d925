// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 5: the verdict on each packet, in order. Compares the ICV, checks and sets the replay
// window in one step (RFC 4303 section 3.4.3), keeps the SAs' counters and limits, and checks what was inside
// (sections 2.4 to 2.7; ECN by RFC 6040 section 4.2, the inner checksum by RFC 1624).
//
// The verdict is what one packet after the other would get: the look-up's early look at the window is never
// the last word on the reason. With ESN a number left of the window stands for the one 2^32 further on, whose
// ICV cannot be right.
//
// Latency 4 cycles, one packet every 2 cycles: read (R), look (A), decide (B), write (C). A packet is looked at while the one
// before it is written; where both are of one slot, it takes what is being written, so a hot SA never sees stale state and
// runs at full rate. The window is a ring of 32 words of 64 numbers for each slot, each word tagged with the upper
// bits of its numbers: words left behind by a jump are told by their tag, and nothing ever has to be cleared.
// Contract: one job for each context, in order; a context with status OK has its SA, and waits for its opened packet (o_*).
// The slot unit's access (c_*) gets a cycle between any two packets, a write between two that are not of its slot's SA; `c_grant` is the cycle in which its read or
// write is done, and read data is valid in the cycle after. It writes while no packet of the slot is between its own read and
// write, which would put back what was there before; c_slot stands still from the cycle before a request. Limits (c_limits) are one less than the blob's, all ones where it
// has none, so that one comparison tells; but the hard one of bytes is as it is. A packet of a passed epoch, or under `wipe`, is
// ABORTED and changes no state.
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

    // opened packets
    input  wire                 o_valid,
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
    output reg  [15:0]          e_sum
);
    localparam KB_LESS_1 = 16 * LANES - 1;
    localparam [15:0] LAST_BYTE = KB_LESS_1[15:0];
    localparam LB = (LANES == 1) ? 4 : (LANES == 2) ? 5 : 6;

    // ---- the order of cycles: port B reads for one packet and writes for another, never in the same cycle -------
    reg a, b, c;         // a packet is in this stage
    reg slot_was;        // the slot unit had the last free cycle
    wire stale = wipe || x_epoch != epoch;
    wire opened = x_status == 5'd0 && !stale;
    wire ready = x_valid && !a && (!opened || o_valid);
    // A packet of a passed epoch does not wait to be opened, but waits for the slot unit's command to be over: its epoch is not
    // compared on the way to the grant.
    wire in_turn = x_valid && (x_status != 5'd0 || wipe || o_valid);
    // the packet in B is of the slot unit's slot; one that has no SA leaves nothing, whatever number it comes with
    reg held_b;
    always @(posedge clk)
        held_b <= a && x_found && x_slot == c_slot;
    wire held = held_b && (c_write_slot || c_write_word);
    assign c_grant = c_req && !a && !c && !held && (!slot_was || !in_turn);
    wire read = ready && !c && !c_grant;
    assign x_take = a;
    assign o_take = a && opened;

    always @(posedge clk) begin
        a <= read && !rst;
        b <= a && !rst;
        c <= b && !rst;
        if (c_grant || read)
            slot_was <= c_grant && !rst;
        if (rst)
            slot_was <= 1'b0;
    end

    // ---- state of the slots: port B is this unit's, and the slot unit's through it ------------------------
    wire [63:0] top_ram_q;
    wire [116:0] word_ram_q;
    wire [191:0] counts_ram_q;
    wire [255:0] limits;
    // what the packet in C leaves
    reg [LOG2_SA-1:0] slot_c;
    reg [4:0] place_c;
    reg [63:0] top_c;
    reg [116:0] word_c;
    reg [191:0] counts_c;
    reg write_top_c, write_word_c, write_counts_c;
    wire write_top = c && write_top_c;
    wire write_word = c && write_word_c;
    wire write_counts = c && write_counts_c;

    ram_ab #(.W(64), .LOG2_D(LOG2_SA)) top_ram (
        .clk(clk), .a_en(top_en), .a_addr(top_addr), .a_rdata(top_rdata),
        .b_en(read || write_top || (c_grant && !c_write_word)), .b_we(write_top || (c_grant && c_write_slot)),
        .b_addr(c ? slot_c : c_grant ? c_slot : x_slot), .b_wdata(c ? top_c : c_top), .b_rdata(top_ram_q)
    );
    ram_ab #(.W(117), .LOG2_D(LOG2_SA + 5)) win_ram (
        .clk(clk), .a_en(win_en), .a_addr(win_addr), .a_rdata(win_rdata),
        .b_en(read || write_word || (c_grant && c_write_word)), .b_we(write_word || c_grant),
        .b_addr(c ? {slot_c, place_c} : c_grant ? {c_slot, c_word} : {x_slot, x_seq[10:6]}),
        .b_wdata(c ? word_c : c_word_data), .b_rdata(word_ram_q)
    );
    /* verilator lint_off PINCONNECTEMPTY */ // only this unit looks at counters and limits
    ram_ab #(.W(192), .LOG2_D(LOG2_SA)) count_ram (
        .clk(clk), .a_en(1'b0), .a_addr(x_slot), .a_rdata(),
        .b_en(read || write_counts || (c_grant && !c_write_word)),
        .b_we(write_counts || (c_grant && c_write_slot)),
        .b_addr(c ? slot_c : c_grant ? c_slot : x_slot), .b_wdata(c ? counts_c : 192'd0), .b_rdata(counts_ram_q)
    );
    ram_ab #(.W(256), .LOG2_D(LOG2_SA)) limit_ram (
        .clk(clk), .a_en(1'b0), .a_addr(x_slot), .a_rdata(),
        .b_en(read || (c_grant && c_write_slot)), .b_we(c_grant),
        .b_addr(c_grant ? c_slot : x_slot), .b_wdata(c_limits), .b_rdata(limits)
    );
    /* verilator lint_on PINCONNECTEMPTY */
    assign c_last_seq = top_ram_q;
    assign {c_drops, c_bytes, c_packets} = counts_ram_q;

    // ---- A: the state as the packet before left it, and every comparison by itself --------------------------
    reg [LOG2_SA-1:0] slot_b;
    reg [63:0] seq_b;
    // the packet that will be in C then is of the same slot, and of the same word
    reg again_slot, again_word;
    always @(posedge clk) begin
        again_slot <= b && slot_b == x_slot;
        again_word <= b && slot_b == x_slot && seq_b[10:6] == x_seq[10:6];
    end
    wire [63:0] top_a = (again_slot && write_top_c) ? top_c : top_ram_q;
    wire [116:0] word_a = (again_word && write_word_c) ? word_c : word_ram_q;
    wire [63:0] packets_a, bytes_a, drops_a;
    assign {drops_a, bytes_a, packets_a} = (again_slot && write_counts_c) ? counts_c : counts_ram_q;
    wire [63:0] soft_bytes = limits[63:0];
    wire [63:0] hard_bytes = limits[127:64];
    wire [63:0] soft_packets = limits[191:128];
    wire [63:0] hard_packets = limits[255:192];
    // a >= b as the borrow of a - b: mapped as written it would be a borrow or a test for equality behind it
    wire packets_short, packets_over, packets_above, hard_short, soft_short, newer_a;
    wire [63:0] hard_room, soft_room, behind_a;
    /* verilator lint_off UNUSEDSIGNAL */ // only their borrows are of use
    wire [63:0] packets_past, packets_left, packets_room;
    /* verilator lint_on UNUSEDSIGNAL */
    assign {newer_a, behind_a} = {1'b0, top_a} - {1'b0, x_seq};
    assign {packets_short, packets_past} = {1'b0, packets_a} - {1'b0, soft_packets};
    assign {packets_above, packets_room} = {1'b0, soft_packets} - {1'b0, packets_a};
    assign {packets_over, packets_left} = {1'b0, hard_packets} - {1'b0, packets_a};
    assign {hard_short, hard_room} = {1'b0, hard_bytes} - {1'b0, bytes_a};
    assign {soft_short, soft_room} = {1'b0, soft_bytes} - {1'b0, bytes_a};
    wire fits_a = word_a[116:64] == x_seq[63:11];

    wire [15:0] pad_end = {8'd0, o_pad_len} + 16'd2;
    wire [15:0] room_a = x_bytes - pad_end;
    wire no_room_a, too_long_a;
    /* verilator lint_off UNUSEDSIGNAL */ // only their borrows are of use
    wire [15:0] past_head, past_total;
    /* verilator lint_on UNUSEDSIGNAL */
    assign {no_room_a, past_head} = {1'b0, room_a} - 17'd20;
    assign {too_long_a, past_total} = {1'b0, room_a} - {1'b0, o_total};
    wire [15:0] inner_head = {10'd0, o_version[3:0], 2'd0};
    wire ce = !x_no_ecn && x_tos[1:0] == 2'd3;
    wire [1:0] ecn = (ce && o_tos[1:0] != 2'd0) ? 2'd3
                   : (!x_no_ecn && x_tos[1:0] == 2'd1 && o_tos[1:0] == 2'd2) ? 2'd1 : o_tos[1:0];
    wire [7:0] tos_new = {x_dscp_decap ? x_tos[7:2] : o_tos[7:2], ecn};
    // RFC 1624, equation 3: of ~m + m' the version's bits are all ones, so what is added to ~HC is 0x10000 and the
    // difference of the TOS bytes less 1
    wire [8:0] tos_step = {1'b0, tos_new} + {1'b1, ~o_tos};

    reg [7:0] epoch_b;
    reg [TAGW-1:0] tag_b;
    reg [4:0] status_b;
    reg opened_b, stale_b, found_b, src_changed_b, esn_b, checked_b;
    reg [15:0] gen_b, bytes_in_b;
    reg [10:0] window_b;
    // replay
    reg newer_b, bit_b, fits_b;
    reg [63:0] behind_b, word_b;
    // counters and limits
    reg [63:0] packets_b, packets_more_b, bytes_b, bytes_more_b, drops_b, drops_more_b, soft_room_b, hard_room_b;
    reg hard_packets_b, soft_now_b, soft_more_b, soft_left_b, hard_left_b;
    // what was inside
    reg cut_b, icv_ok_b, dummy_b, bad_pad_b, not_ip_b, no_room_b, bad_ip_b, too_long_b, no_ecn_b;
    reg [15:0] total_b, inner_b;
    reg [7:0] tos_b, tos_new_b;
    reg [17:0] sum_b;

    always @(posedge clk)
        if (a) begin
            epoch_b <= x_epoch;
            tag_b <= x_tag;
            status_b <= x_status;
            opened_b <= opened;
            stale_b <= stale;
            found_b <= x_found;
            src_changed_b <= x_src_changed;
            esn_b <= x_esn;
            checked_b <= x_window != 11'd0;
            slot_b <= x_slot;
            gen_b <= x_gen;
            bytes_in_b <= x_bytes;
            seq_b <= x_seq;
            window_b <= x_window;

            newer_b <= newer_a;
            behind_b <= behind_a;
            fits_b <= fits_a;
            bit_b <= word_a[{1'b0, x_seq[5:0]}];
            word_b <= fits_a ? word_a[63:0] : 64'd0;

            packets_b <= packets_a;
            packets_more_b <= packets_a + 64'd1;
            bytes_b <= bytes_a;
            bytes_more_b <= bytes_a + {48'd0, (o_next == 8'd4) ? o_total : 16'd0};
            drops_b <= drops_a;
            drops_more_b <= drops_a + 64'd1;
            // one more is too much; has been reached; will be with this one
            hard_packets_b <= packets_over;
            soft_now_b <= packets_above;
            soft_more_b <= !packets_short;
            hard_room_b <= hard_room;
            hard_left_b <= !hard_short;
            soft_room_b <= soft_room;
            soft_left_b <= !soft_short;

            cut_b <= o_cut;
            icv_ok_b <= o_icv_ok;
            dummy_b <= o_next == 8'd59;
            bad_pad_b <= pad_end > x_bytes || !o_pad_ok;
            not_ip_b <= o_next != 8'd4;
            no_room_b <= no_room_a;
            bad_ip_b <= o_version[7:4] != 4'd4 || o_version[3:0] < 4'd5 || o_total < inner_head;
            too_long_b <= too_long_a;
            no_ecn_b <= ce && o_tos[1:0] == 2'd0;
            total_b <= o_total;
            inner_b <= (o_next == 8'd4) ? o_total : 16'd0;
            tos_b <= o_tos;
            tos_new_b <= tos_new;
            sum_b <= {2'd0, ~o_sum} + {{9{tos_step[8]}}, tos_step};
        end

    // ---- B: replay, limits, verdict, and the new state ----------------------------------------------------------
    wire gone = stale_b || wipe || epoch_b != epoch;
    wire open = opened_b && !gone;
    wire beyond = behind_b[63:11] != 53'd0 || behind_b[10:0] >= window_b;
    wire old = !newer_b && checked_b && beyond;
    wire again = !newer_b && checked_b && fits_b && bit_b;
    // taken for a number before the first when looked up, but the window has left it behind by now
    wire past_start = {11'd0, status_b} == `ESPC_STATUS_REPLAY_OLD && esn_b && beyond;
    wire fresh = open && !cut_b && icv_ok_b && !again;
    wire mark = fresh && !old;
    wire hard = hard_packets_b || !hard_left_b || (hard_room_b[63:16] == 48'd0 && inner_b > hard_room_b[15:0]);
    wire clean = !(dummy_b || bad_pad_b || not_ip_b || no_room_b || bad_ip_b || too_long_b || no_ecn_b);
    wire ok = fresh && clean && !old && !hard;
    wire counted = found_b && !gone;
    // limits are one less than they were given: more than it is as much as it
    wire soft_bytes_more = !soft_left_b || (soft_room_b[63:16] == 48'd0 && inner_b > soft_room_b[15:0]);

    reg [15:0] inner_status;
    always @* begin
        if (dummy_b)
            inner_status = `ESPC_STATUS_DUMMY;
        else if (bad_pad_b)
            inner_status = `ESPC_STATUS_BAD_PAD;
        else if (not_ip_b)
            inner_status = `ESPC_STATUS_BAD_NEXT_HEADER;
        else if (no_room_b)
            inner_status = `ESPC_STATUS_TRUNCATED;
        else if (bad_ip_b)
            inner_status = `ESPC_STATUS_BAD_IP;
        else if (too_long_b)
            inner_status = `ESPC_STATUS_TRUNCATED;
        else
            inner_status = no_ecn_b ? `ESPC_STATUS_ECN_CE : `ESPC_STATUS_OK;
    end

    reg [15:0] status;
    always @* begin
        status = {11'd0, status_b};
        if (gone)
            status = `ESPC_STATUS_ABORTED;
        // seen when looked up, and left of the window by now
        else if (status == `ESPC_STATUS_REPLAY_SEEN && old)
            status = esn_b ? `ESPC_STATUS_ICV_FAIL : `ESPC_STATUS_REPLAY_OLD;
        else if (past_start)
            status = `ESPC_STATUS_ICV_FAIL;
        else if (opened_b) begin
            if (cut_b)
                status = `ESPC_STATUS_TRUNCATED;
            else if (old)
                status = esn_b ? `ESPC_STATUS_ICV_FAIL : `ESPC_STATUS_REPLAY_OLD;
            else if (again)
                status = `ESPC_STATUS_REPLAY_SEEN;
            else if (!icv_ok_b)
                status = `ESPC_STATUS_ICV_FAIL;
            else if (hard)
                status = `ESPC_STATUS_HARD_LIMIT;
            else
                status = inner_status;
        end
    end

    // the 0x10000 that stage A has left out is added to the carries
    wire [1:0] sum_carry = {sum_b[16] && !sum_b[17], !sum_b[16]};
    wire [16:0] sum_fold = {1'b0, sum_b[15:0]} + {15'd0, sum_carry};

    always @(posedge clk) begin
        e_valid <= b && !rst;
        if (b) begin
            slot_c <= slot_b;
            place_c <= seq_b[10:6];
            top_c <= seq_b;
            word_c <= {seq_b[63:11], word_b | (64'd1 << seq_b[5:0])};
            counts_c <= {ok ? drops_b : drops_more_b, ok ? bytes_more_b : bytes_b,
                         ok ? packets_more_b : packets_b};
            write_top_c <= mark && newer_b;
            write_word_c <= mark;
            write_counts_c <= counted;

            e_epoch <= epoch_b;
            e_tag <= tag_b;
            e_status <= status[4:0];
            e_found <= counted;
            e_slot <= slot_b;
            e_gen <= gen_b;
            e_seq <= (esn_b && (old || past_start)) ? {seq_b[63:32] + 32'd1, seq_b[31:0]} : seq_b;
            e_soft <= counted && ((ok ? soft_more_b : soft_now_b) || (ok ? soft_bytes_more : !soft_left_b));
            e_src_changed <= ok && src_changed_b;
            e_len <= total_b;
            e_beats <= opened_b ? (bytes_in_b + LAST_BYTE) >> LB : 16'd0;
            e_patch <= tos_new_b != tos_b;
            e_tos <= tos_new_b;
            e_sum <= ~(sum_fold[15:0] + {15'd0, sum_fold[16]});
        end
    end
endmodule

`default_nettype wire
