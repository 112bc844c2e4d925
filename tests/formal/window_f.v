// SPDX-License-Identifier: Apache-2.0
// The replay window of rtl/esp/esp_rx_commit.v, at its real width: one SA, one sequence number of 64 bits and a window of
// 1 to 1,024 are watched, all arbitrary, among any other traffic, at any rate. A packet that was opened is taken exactly when
// RFC 4303 section 3.4.3 takes it: when its number is above all before it, or within the window and not taken yet. So no number
// is ever taken twice, and none that is left of the window; and nothing has status OK that has not been marked.
//
// The reference is a number and a bit. What binds it to the ring of tagged words is under LINK: with it the proof is by
// induction, for histories of any length, from any state in which ring and top agree. Contract of the inputs: a context
// stands still until it is taken; the slot unit does not write this SA meanwhile, and its slot number stands still from the
// cycle before a request. Whatever slot it writes, none of that slot's packets is between its read and its write then; and only
// they keep it waiting: no stream of others does so for more than three cycles.
module window_f (
    input wire         clk,
    input wire         rst,
    input wire         wipe,
    input wire [7:0]   epoch,
    input wire         x_valid,
    input wire [7:0]   x_epoch,
    input wire [4:0]   x_status,
    input wire         x_found,
    input wire         x_slot,
    input wire [63:0]  x_seq,
    input wire [7:0]   x_tos,
    input wire         x_esn,
    input wire [10:0]  x_window,
    input wire [15:0]  x_bytes,
    input wire         o_soon,
    input wire         o_cut,
    input wire         o_icv_ok,
    input wire         o_pad_ok,
    input wire [7:0]   o_pad_len,
    input wire [7:0]   o_next,
    input wire [7:0]   o_version,
    input wire [7:0]   o_tos,
    input wire [15:0]  o_total,
    input wire         x_transport,
    input wire [15:0]  o_whole,
    input wire         c_req,
    input wire         c_write_slot,
    input wire         c_write_word,
    input wire         c_slot,
    input wire [4:0]   c_word,
    input wire [116:0] c_word_data,
    input wire [63:0]  c_top,
    input wire [255:0] c_limits
);
    wire x_take, c_grant, e_valid, e_slot;
    wire [4:0] e_status;
    esp_rx_commit #(.LANES(1), .LOG2_SA(1), .TAGW(1)) dut (
        .clk(clk), .rst(rst), .wipe(wipe), .epoch(epoch), .x_valid(x_valid), .x_take(x_take), .x_epoch(x_epoch), .x_tag(1'b0),
        .x_status(x_status), .x_found(x_found), .x_slot(x_slot), .x_gen(16'd0), .x_seq(x_seq), .x_src_changed(1'b0),
        .x_tos(x_tos), .x_no_ecn(1'b0), .x_dscp_decap(1'b0), .x_esn(x_esn), .x_window(x_window), .x_bytes(x_bytes),
        .x_transport(x_transport), .x_sum(16'd0), .o_whole(o_whole),
        .o_soon(o_soon), .o_cut(o_cut), .o_icv_ok(o_icv_ok), .o_pad_ok(o_pad_ok), .o_pad_len(o_pad_len), .o_next(o_next),
        .o_version(o_version), .o_tos(o_tos), .o_total(o_total), .o_sum(16'd0), .top_en(1'b0), .top_addr(1'b0), .win_en(1'b0),
        .win_addr(6'd0), .c_req(c_req), .c_grant(c_grant), .c_write_slot(c_write_slot), .c_write_word(c_write_word),
        .c_slot(c_slot), .c_word(c_word), .c_word_data(c_word_data), .c_top(c_top), .c_limits(c_limits),
        .e_valid(e_valid), .e_slot(e_slot), .e_status(e_status)
    );
    (* hierconn *) wire \dut.t , \dut.a , \dut.b , \dut.c , \dut.w , \dut.free , \dut.held , \dut.turn , \dut.slot_was ;
    (* hierconn *) wire \dut.x_stood , \dut.x_stale , \dut.x_open , \dut.opened ;
    (* hierconn *) wire \dut.slot_t , \dut.slot_a , \dut.slot_b , \dut.slot_c ;
    (* hierconn *) wire \dut.found_t , \dut.found_a , \dut.found_b ;
    (* hierconn *) wire \dut.opened_t , \dut.opened_a , \dut.opened_b , \dut.stale_t , \dut.stale_a , \dut.stale_b ;
    (* hierconn *) wire [4:0] \dut.status_t , \dut.status_a , \dut.status_b ;
    (* hierconn *) wire [63:0] \dut.seq_t , \dut.seq_a , \dut.seq_b ;
    // T and A: what was read, and whether the packets before are of the same slot
    (* hierconn *) wire \dut.again_slot , \dut.again_word , \dut.next_slot , \dut.next_word , \dut.next_fits ;
    (* hierconn *) wire [10:0] \dut.window_t ;
    (* hierconn *) wire [63:0] \dut.top_read , \dut.top_a , \dut.edge_a ;
    (* hierconn *) wire [116:0] \dut.word_read , \dut.word_a ;
    (* hierconn *) wire \dut.again_top_a , \dut.again_word_a , \dut.again_fits , \dut.again_taken ;
    (* hierconn *) wire [63:0] \dut.top_d , \dut.word_d ;
    (* hierconn *) wire \dut.no_edge , \dut.checked_a ;
    // B and C: the verdict, and what it leaves
    (* hierconn *) wire \dut.newer_b , \dut.old_b , \dut.beyond_b , \dut.taken_b , \dut.fits_b , \dut.good_b ;
    (* hierconn *) wire \dut.cut_b , \dut.icv_ok_b , \dut.mark , \dut.ok ;
    (* hierconn *) wire [63:0] \dut.word_b , \dut.top_c ;
    (* hierconn *) wire \dut.write_top_c , \dut.write_word_c , \dut.write_counts_c ;
    (* hierconn *) wire [116:0] \dut.word_c ;
    (* hierconn *) wire \dut.top_ram.at ;
    (* hierconn *) wire [5:0] \dut.win_ram.at ;
    (* hierconn *) wire [63:0] \dut.top_ram.word ;
    (* hierconn *) wire [116:0] \dut.win_ram.word ;

    // ---- what is watched
    (* anyconst *) wire slot;
    (* anyconst *) wire [63:0] number;
    (* anyconst *) wire [10:0] window;
    wire [4:0] place = number[10:6];
    always @* begin
        assume (window != 0 && window <= 11'd1024);
        assume (\dut.top_ram.at == slot);
        assume (\dut.win_ram.at == {slot, place});
    end

    // ---- inputs
    reg begun = 0, ran = 0;
    reg waits, o_waits;
    reg was_c_slot;
    wire [89:0] x_all = {x_epoch, x_status, x_found, x_slot, x_seq, x_window};
    reg [89:0] was_x;
    always @(posedge clk) begin
        begun <= 1;
        ran <= begun;
        waits <= x_valid && !x_take;
        o_waits <= o_soon && !(x_take && \dut.opened ) && !wipe;
        was_c_slot <= c_slot;
        was_x <= x_all;
    end
    always @* begin
        assume (rst == !begun);
        if (begun && waits)
            assume (x_valid && x_all == was_x);
        if (begun && o_waits)
            assume (o_soon);
        if (begun && c_req)
            assume (c_slot == was_c_slot);
        if (x_slot == slot)
            assume (x_window == window);
        assume (x_status != 5'd0 || x_found);
        if (c_grant && (c_write_slot || c_write_word))
            assume (c_slot != slot);
    end

    // ---- the slot unit: whose packets are inside, and how long it has waited for others than its slot's
    reg found_c, found_w;
    reg [2:0] waited = 0;
    wire own_a = \dut.a && \dut.found_a && \dut.slot_a == c_slot;
    wire own_c = \dut.c && found_c && \dut.slot_c == c_slot;
    wire own = own_a || own_c || (\dut.t && \dut.found_t && \dut.slot_t == c_slot)
               || (\dut.b && \dut.found_b && \dut.slot_b == c_slot) || (\dut.w && found_w && \dut.slot_c == c_slot);
    always @(posedge clk) begin
        found_c <= \dut.found_b ;
        found_w <= found_c;
        waited <= (begun && c_req && !c_grant && !own) ? waited + 3'd1 : 3'd0;
    end

    // ---- the reference: the highest number taken, and whether the watched one has been
    reg [63:0] top;
    // (no register without an initial value: Yosys would make it the one value that it is ever given)
    (* anyconst *) wire taken_before;
    reg taken_since = 0;
    wire taken = taken_before || taken_since;
    wire here = \dut.b && \dut.slot_b == slot;
    wire judged = here && \dut.opened_b && !\dut.stale_b && !wipe && !\dut.cut_b && \dut.icv_ok_b ;
    wire mine = here && \dut.seq_b == number;
    wire want = number > top || (top - number < {53'd0, window} && !taken);
    reg marked, marked_w;        // the packet in C was marked; the one in W
    always @(posedge clk) begin
        marked <= \dut.mark ;
        marked_w <= marked;
        if (begun && here && \dut.mark ) begin
            if (\dut.seq_b > top)
                top <= \dut.seq_b ;
            if (mine)
                taken_since <= 1;
        end
    end

    // ---- what RAM and what is going to be written make together
    wire write = (\dut.c || \dut.w ) && \dut.slot_c == slot;
    wire [4:0] place_c = \dut.top_c [10:6];
    wire [63:0] top_now = (write && \dut.write_top_c ) ? \dut.top_c : \dut.top_ram.word ;
    wire [116:0] word_now = (write && place_c == place && \dut.write_word_c ) ? \dut.word_c : \dut.win_ram.word ;
    wire hit = word_now[116:64] == number[63:11] && word_now[{1'b0, number[5:0]}];
    wire in_window = number <= top && top - number < 64'd1024;
    wire linked = top_now == top && (!taken || number <= top) && (!in_window || taken == hit) && (number <= top || !hit);
    wire here_t = \dut.t && \dut.slot_t == slot;
    wire here_a = \dut.a && \dut.slot_a == slot;
    wire same_a = here_a && \dut.seq_a [10:6] == place;
    wire same_b = here && \dut.seq_b [10:6] == place;
    wire [63:0] behind = top - \dut.seq_b ;

    always @* if (!begun) begin
        assume (linked && !\dut.c && !\dut.w && !c_req);
    end
    always @* if (begun) begin
        if (c_grant && (c_write_slot || c_write_word))
            a_apart: assert (!own);
        if ((\dut.c && !found_c) || (\dut.w && !found_w))
            a_stranger: assert (!\dut.write_top_c && !\dut.write_word_c && !\dut.write_counts_c );
        a_served: assert (waited < 3'd4);
        if (judged && mine)
            a_exact: assert (\dut.mark == want);
        if (here && \dut.mark )
            a_judged: assert (judged);
        if (mine && taken)
            a_once: assert (!\dut.mark );
        if (\dut.b && \dut.ok )
            a_counted_is_marked: assert (\dut.mark );
        if (ran && e_valid && e_status == 5'd0)
            a_ok_is_marked: assert (marked);
`ifdef LINK
        a_linked: assert (linked);
        a_turns: assert (!(\dut.t || \dut.b || \dut.w ) || !(\dut.a || \dut.c ));
        a_free: assert (\dut.free == !(\dut.t || \dut.b || \dut.w ));
        a_stood: assert (!\dut.x_stood || x_valid);
        if (\dut.x_stood )
            a_open: assert ((x_status != 0 || \dut.x_open || \dut.x_stale ) && (!\dut.x_open || x_found));
        if (\dut.turn )
            a_turn: assert (\dut.slot_was && \dut.x_stood && (!\dut.x_open || o_soon));
        a_waits: assert (waited + (\dut.free ? (\dut.turn ? 3'd2 : 3'd0) : (\dut.slot_was ? 3'd3 : 3'd1)) < 3'd4);
        if (\dut.t ) begin
            a_again: assert (\dut.again_slot == (\dut.w && \dut.slot_c == \dut.slot_t ));
            a_again_word: assert (\dut.again_word == (\dut.again_slot && place_c == \dut.seq_t [10:6]));
            a_opened_t: assert ((\dut.status_t != 0 || \dut.opened_t || \dut.stale_t ) && (!\dut.opened_t || \dut.found_t ));
        end
        if (here_t)
            a_top_read: assert (\dut.top_read == \dut.top_ram.word && \dut.window_t == window);
        if (here_t && \dut.seq_t [10:6] == place)
            a_word_read: assert (\dut.word_read == \dut.win_ram.word );
        if (\dut.a ) begin
            a_next: assert (\dut.next_slot == (\dut.c && \dut.slot_c == \dut.slot_a ));
            a_next_word: assert (\dut.next_word == (\dut.next_slot && place_c == \dut.seq_a [10:6]));
            a_next_fits: assert (!\dut.c || \dut.next_fits == (\dut.top_c [63:11] == \dut.seq_a [63:11]));
            a_opened_a: assert ((\dut.status_a != 0 || \dut.opened_a || \dut.stale_a ) && (!\dut.opened_a || \dut.found_a ));
        end
        if (here_a) begin
            a_top_a: assert ((\dut.again_top_a ? \dut.top_d : \dut.top_a ) == \dut.top_ram.word );
            a_edge: assert ({\dut.no_edge , \dut.edge_a } == {1'b0, \dut.seq_a } + {54'd0, window} && \dut.checked_a );
        end
        if (same_a && !\dut.again_word_a )
            a_word_a: assert (\dut.word_a == \dut.win_ram.word );
        if (same_a && \dut.again_word_a ) begin
            a_word_d: assert (\dut.word_d == \dut.win_ram.word [63:0]);
            a_again_fits: assert (\dut.again_fits == (\dut.win_ram.word [116:64] == \dut.seq_a [63:11]));
            a_again_taken: assert (\dut.again_taken == \dut.word_d [\dut.seq_a [5:0]]);
        end
        if (here) begin
            a_newer: assert (\dut.newer_b == (\dut.seq_b > top));
            a_beyond: assert (\dut.beyond_b == (behind >= {53'd0, window}) && \dut.old_b == (\dut.beyond_b && !\dut.newer_b ));
        end
        if (same_b) begin
            a_word_b: assert (\dut.word_b == word_now[63:0] && \dut.fits_b == (word_now[116:64] == \dut.seq_b [63:11]));
            a_bit_b: assert (\dut.taken_b == (!\dut.newer_b && word_now[{1'b0, \dut.seq_b [5:0]}]));
        end
        if (\dut.b ) begin
            a_opened_b: assert ((\dut.status_b != 0 || \dut.opened_b || \dut.stale_b ) && (!\dut.opened_b || \dut.found_b ));
            a_good_b: assert (\dut.good_b == (\dut.opened_b && !\dut.stale_b && !\dut.cut_b && \dut.icv_ok_b ));
        end
        if (\dut.c || \dut.w )
            a_word_c: assert (\dut.word_c [116:64] == \dut.top_c [63:11]);
        if (\dut.c )
            a_marked_c: assert (\dut.write_word_c == marked);
        if (\dut.w )
            a_marked_w: assert (\dut.write_word_c == marked_w);
        if (c_req && (\dut.a || \dut.c ))
            a_held: assert (\dut.held == (own_a || own_c));
`endif
        c_again: cover (judged && mine && taken && in_window);
        c_behind: cover (judged && mine && !taken && \dut.mark && number < top);
        c_left: cover (judged && mine && !\dut.mark && !taken);
        c_written: cover (c_grant && c_write_slot && \dut.a && \dut.c && \dut.slot_a != c_slot);
        c_stranger: cover (c_grant && c_write_slot && \dut.a && !\dut.found_a && \dut.slot_a == c_slot);
        c_chained: cover (same_a && write && \dut.write_word_c && place_c == place);
        c_again_behind: cover (here_t && write && \dut.write_word_c && \dut.again_word );
    end
endmodule
