// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 5: the verdict on each packet, in order. Compares the ICV, checks and sets the replay
// window in one step (RFC 4303 section 3.4.3), keeps the SAs' counters and limits, and checks what was inside
// (sections 2.4 to 2.7; ECN by RFC 6040 section 4.2, the inner checksum by RFC 1624).
//
// The verdict is what one packet after the other would get: the look-up's early look at the window is never
// the last word on the reason. With ESN a number left of the window stands for the one 2^32 further on, whose
// ICV cannot be right.
//
// Latency 2 cycles, one packet every 2 cycles: read, then decide and write, so a hot SA never sees
// stale state. The window is a ring of 32 words of 64 numbers for each slot, each word tagged with the upper
// bits of its numbers: words left behind by a jump are told by their tag, and nothing ever has to be cleared.
// Contract: one job for each context, in order; a context with status OK waits for its opened packet (o_*).
// The slot unit's access (c_*) gets every second cycle at least; `c_grant` is the cycle in which its read or
// write is done, and read data is valid in the cycle after. A packet of a passed epoch, or under `wipe`, is
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

    reg deciding;
    reg slot_was;        // the slot unit had the last free cycle
    wire stale = wipe || x_epoch != epoch;
    wire opened = x_status == 5'd0 && !stale;
    wire ready = x_valid && (!opened || o_valid);
    assign c_grant = c_req && !deciding && (!slot_was || !ready);
    wire read = ready && !deciding && !c_grant;
    assign x_take = deciding;
    assign o_take = deciding && opened;

    // ---- state of the slots: port B is this unit's, and the slot unit's through it ------------------------
    wire [63:0] top;
    wire [116:0] word;
    wire [191:0] counts;
    wire [255:0] limits;
    wire write_top, write_word, write_counts;
    wire [63:0] packets = counts[63:0];
    wire [63:0] bytes = counts[127:64];
    wire [63:0] drops = counts[191:128];
    wire [116:0] word_new;
    wire [191:0] counts_new;

    ram_ab #(.W(64), .LOG2_D(LOG2_SA)) top_ram (
        .clk(clk), .a_en(top_en), .a_addr(top_addr), .a_rdata(top_rdata),
        .b_en(read || write_top || (c_grant && !c_write_word)), .b_we(write_top || (c_grant && c_write_slot)),
        .b_addr(c_grant ? c_slot : x_slot), .b_wdata(c_grant ? c_top : x_seq), .b_rdata(top)
    );
    ram_ab #(.W(117), .LOG2_D(LOG2_SA + 5)) win_ram (
        .clk(clk), .a_en(win_en), .a_addr(win_addr), .a_rdata(win_rdata),
        .b_en(read || write_word || (c_grant && c_write_word)), .b_we(write_word || c_grant),
        .b_addr(c_grant ? {c_slot, c_word} : {x_slot, x_seq[10:6]}),
        .b_wdata(c_grant ? c_word_data : word_new),
        .b_rdata(word)
    );
    /* verilator lint_off PINCONNECTEMPTY */ // only this unit looks at counters and limits
    ram_ab #(.W(192), .LOG2_D(LOG2_SA)) count_ram (
        .clk(clk), .a_en(1'b0), .a_addr(x_slot), .a_rdata(),
        .b_en(read || write_counts || (c_grant && !c_write_word)),
        .b_we(write_counts || (c_grant && c_write_slot)),
        .b_addr(c_grant ? c_slot : x_slot), .b_wdata(c_grant ? 192'd0 : counts_new), .b_rdata(counts)
    );
    ram_ab #(.W(256), .LOG2_D(LOG2_SA)) limit_ram (
        .clk(clk), .a_en(1'b0), .a_addr(x_slot), .a_rdata(),
        .b_en(read || (c_grant && c_write_slot)), .b_we(c_grant),
        .b_addr(c_grant ? c_slot : x_slot), .b_wdata(c_limits), .b_rdata(limits)
    );
    /* verilator lint_on PINCONNECTEMPTY */
    assign c_last_seq = top;
    assign c_packets = packets;
    assign c_bytes = bytes;
    assign c_drops = drops;

    // ---- replay -------------------------------------------------------------------------------------------
    wire newer = x_seq > top;
    wire [63:0] behind = top - x_seq;
    wire word_fits = word[116:64] == x_seq[63:11];
    wire seen = word_fits && word[{1'b0, x_seq[5:0]}];
    wire old = !newer && x_window != 11'd0 && behind >= {53'd0, x_window};
    wire again = !newer && x_window != 11'd0 && seen;
    // taken for a number before the first when looked up, but the window has left its start by now
    wire past_start = {11'd0, x_status} == `ESPC_STATUS_REPLAY_OLD && x_esn && top >= {53'd0, x_window};
    wire mark = opened && !o_cut && o_icv_ok && !old && !again;
    assign word_new = {x_seq[63:11], (word_fits ? word[63:0] : 64'd0) | (64'd1 << x_seq[5:0])};

    // ---- what was inside ----------------------------------------------------------------------------------
    wire [15:0] pad_end = {8'd0, o_pad_len} + 16'd2;
    wire [15:0] room = x_bytes - pad_end;
    wire [15:0] inner_head = {10'd0, o_version[3:0], 2'd0};
    wire ce = !x_no_ecn && x_tos[1:0] == 2'd3;
    wire [1:0] ecn = (ce && o_tos[1:0] != 2'd0) ? 2'd3
                   : (!x_no_ecn && x_tos[1:0] == 2'd1 && o_tos[1:0] == 2'd2) ? 2'd1 : o_tos[1:0];
    wire [7:0] tos_new = {x_dscp_decap ? x_tos[7:2] : o_tos[7:2], ecn};
    // RFC 1624, equation 3
    wire [17:0] sum_wide = {2'd0, ~o_sum} + {2'd0, ~{o_version, o_tos}} + {2'd0, o_version, tos_new};
    wire [16:0] sum_fold = {1'b0, sum_wide[15:0]} + {15'd0, sum_wide[17:16]};
    wire [15:0] sum_new = ~(sum_fold[15:0] + {15'd0, sum_fold[16]});

    // ---- limits and counters ------------------------------------------------------------------------------
    wire [63:0] soft_bytes = limits[63:0];
    wire [63:0] hard_bytes = limits[127:64];
    wire [63:0] soft_packets = limits[191:128];
    wire [63:0] hard_packets = limits[255:192];
    wire [15:0] inner = (o_next == 8'd4) ? o_total : 16'd0;
    wire [63:0] packets_more = packets + 64'd1;
    wire [63:0] bytes_more = bytes + {48'd0, inner};
    wire hard = (hard_packets != 64'd0 && packets_more > hard_packets) ||
                (hard_bytes != 64'd0 && bytes_more > hard_bytes);

    reg [15:0] status;
    always @* begin
        status = {11'd0, x_status};
        if (stale)
            status = `ESPC_STATUS_ABORTED;
        // seen when looked up, and left of the window by now
        else if (status == `ESPC_STATUS_REPLAY_SEEN && old)
            status = x_esn ? `ESPC_STATUS_ICV_FAIL : `ESPC_STATUS_REPLAY_OLD;
        else if (past_start)
            status = `ESPC_STATUS_ICV_FAIL;
        else if (opened) begin
            if (o_cut)
                status = `ESPC_STATUS_TRUNCATED;
            else if (old)
                status = x_esn ? `ESPC_STATUS_ICV_FAIL : `ESPC_STATUS_REPLAY_OLD;
            else if (again)
                status = `ESPC_STATUS_REPLAY_SEEN;
            else if (!o_icv_ok)
                status = `ESPC_STATUS_ICV_FAIL;
            else if (hard)
                status = `ESPC_STATUS_HARD_LIMIT;
            else if (o_next == 8'd59)
                status = `ESPC_STATUS_DUMMY;
            else if (pad_end > x_bytes || !o_pad_ok)
                status = `ESPC_STATUS_BAD_PAD;
            else if (o_next != 8'd4)
                status = `ESPC_STATUS_BAD_NEXT_HEADER;
            else if (room < 16'd20)
                status = `ESPC_STATUS_TRUNCATED;
            else if (o_version[7:4] != 4'd4 || o_version[3:0] < 4'd5 || o_total < inner_head)
                status = `ESPC_STATUS_BAD_IP;
            else if (o_total > room)
                status = `ESPC_STATUS_TRUNCATED;
            else if (ce && o_tos[1:0] == 2'd0)
                status = `ESPC_STATUS_ECN_CE;
        end
    end

    wire ok = opened && status == `ESPC_STATUS_OK;
    wire counted = x_found && !stale;
    wire [63:0] packets_now = ok ? packets_more : packets;
    wire [63:0] bytes_now = ok ? bytes_more : bytes;
    assign counts_new = {ok ? drops : drops + 64'd1, bytes_now, packets_now};
    assign write_counts = deciding && counted;
    assign write_word = deciding && mark;
    assign write_top = deciding && mark && newer;

    always @(posedge clk) begin
        deciding <= read;
        if (c_grant || read)
            slot_was <= c_grant;
        e_valid <= deciding;
        if (deciding) begin
            e_epoch <= x_epoch;
            e_tag <= x_tag;
            e_status <= status[4:0];
            e_found <= counted;
            e_slot <= x_slot;
            e_gen <= x_gen;
            e_seq <= (x_esn && (old || past_start)) ? x_seq + 64'h100000000 : x_seq;
            e_soft <= counted && ((soft_packets != 64'd0 && packets_now >= soft_packets) ||
                                  (soft_bytes != 64'd0 && bytes_now >= soft_bytes));
            e_src_changed <= ok && x_src_changed;
            e_len <= o_total;
            e_beats <= opened ? (x_bytes + LAST_BYTE) >> LB : 16'd0;
            e_patch <= tos_new != o_tos;
            e_tos <= tos_new;
            e_sum <= sum_new;
        end
        if (rst) begin
            deciding <= 1'b0;
            slot_was <= 1'b0;
            e_valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
