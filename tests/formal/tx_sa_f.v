// SPDX-License-Identifier: Apache-2.0
// Sequence numbers, leases and limits outbound as rtl/esp/esp_tx_sa.v gives and keeps them, at its real width: one SA and one number of
// 64 bits are watched, both arbitrary, among packets and operations of any others, at any rate that the module takes.
//
// The reference has the SA's state in plain numbers and decides on one packet after the other. A packet gets a number exactly when
// RFC 4303 section 3.3.3, the lease and the limits let it: so no number is given twice under one key, none at or beyond the lease's
// end, none after the deadline, none above 2^32 - 1 without ESN, and none beyond a hard limit. Counters and the number to come
// are the reference's whatever happens, and what an operation answers is too.
//
// Under LINK is how memory and what is being written make the state: with it the proof is by induction, for histories of any length.
// Contract of the inputs: a packet stands still until it is taken; an operation's arguments stand still until it is done, and nothing else comes for four cycles after it (the
// OP_CLEAR of a sweep apart, which is not looked at); the SA's configuration is not written meanwhile.
module tx_sa_f (
    input wire        clk,
    input wire        rst,
    input wire        admit,
    input wire [63:0] now,
    input wire        meta_valid,
    input wire [31:0] meta_sa,
    input wire [15:0] meta_gen,
    input wire [15:0] meta_len,
    input wire        meta_frag,
    input wire [31:0] meta_src,
    input wire [31:0] meta_dst,
    input wire [15:0] check_verdict,
    input wire        check_odd,
    input wire        op_go,
    input wire [2:0]  op,
    input wire        op_index,
    input wire [15:0] op_gen,
    input wire [63:0] op_seq,
    input wire [63:0] op_limit,
    input wire [63:0] op_deadline
);
    localparam [2:0] OP_READ = 3'd0, OP_INIT = 3'd1, OP_LEASE = 3'd2, OP_DRAIN = 3'd3, OP_RENEW = 3'd5;
    wire meta_ready, out_valid, out_esn, op_ready, op_done, op_valid, op_expired;
    wire [15:0] out_status, op_cur_gen;
    wire [63:0] out_seq, op_next_seq, op_cur_limit, op_packets, op_bytes, op_drops;
    esp_tx_sa #(.LOG2_SA(1), .TAGW(1)) dut (
        .clk(clk), .rst(rst), .admit(admit), .now(now), .meta_valid(meta_valid), .meta_ready(meta_ready), .meta_tag(1'b0),
        .meta_sa(meta_sa), .meta_gen(meta_gen), .meta_len(meta_len), .meta_tos(8'd0), .meta_df(1'b0), .meta_id(16'd0), .meta_rsv(1'b0),
        .meta_ttl(8'd0), .meta_proto(8'd0), .meta_src(meta_src), .meta_dst(meta_dst), .meta_frag(meta_frag),
        .check_verdict(check_verdict), .check_odd(check_odd), .out_valid(out_valid), .out_status(out_status), .out_seq(out_seq),
        .out_esn(out_esn), .op_ready(op_ready), .op_go(op_go), .op(op), .op_index(op_index), .op_gen(op_gen), .op_seq(op_seq),
        .op_limit(op_limit), .op_deadline(op_deadline), .op_done(op_done), .op_valid(op_valid), .op_expired(op_expired),
        .op_cur_gen(op_cur_gen), .op_next_seq(op_next_seq), .op_cur_limit(op_cur_limit), .op_packets(op_packets),
        .op_bytes(op_bytes), .op_drops(op_drops), .cfg_wen(1'b0), .end_wen(1'b0), .cfg_zero(1'b0), .cfg_index(1'b0),
        .cfg_blob(2048'd0)
    );
    (* hierconn *) wire \dut.t_pkt , \dut.t_op , \dut.a_pkt , \dut.a_op , \dut.b_pkt , \dut.b_op , \dut.c ;
    (* hierconn *) wire \dut.b_index , \dut.c_index , \dut.good , \dut.mine , \dut.take ;
    (* hierconn *) wire [2:0] \dut.b_code ;
    (* hierconn *) wire [465:0] \dut.c_state , \dut.st_mem.word ;
    (* hierconn *) wire \dut.st_mem.at , \dut.limit_ram.at , \dut.cfg_ram.at ;
    (* hierconn *) wire [287:0] \dut.limit_ram.word ;
    (* hierconn *) wire [28:0] \dut.cfg_ram.word ;
    (* hierconn *) wire \dut.b_clean , \dut.b_stranger , \dut.b_long , \dut.b_esn , \dut.b_there , \dut.b_valid ;
    (* hierconn *) wire [15:0] \dut.a_len , \dut.b_asked ;
    // what the stages know of the SA
    (* hierconn *) wire \dut.stood , \dut.t_index , \dut.a_index , \dut.t_again , \dut.a_again , \dut.a_next ;
    (* hierconn *) wire [465:0] \dut.st_ram , \dut.a_state , \dut.a_state_again ;
    (* hierconn *) wire [287:0] \dut.limits ;
    (* hierconn *) wire [28:0] \dut.cfg ;
    (* hierconn *) wire [15:0] \dut.t_len , \dut.b_gen ;
    (* hierconn *) wire [63:0] \dut.t_hard_bytes , \dut.t_hard_packets , \dut.hard_packets , \dut.hard_room ;
    (* hierconn *) wire \dut.hard_none , \dut.c_esn , \dut.b_hard_none , \dut.b_wraps , \dut.b_draining ;
    (* hierconn *) wire \dut.b_other , \dut.a_refused ;
    (* hierconn *) wire [15:0] \dut.a_verdict , \dut.b_verdict ;
    (* hierconn *) wire \dut.b_expired , \dut.b_ended , \dut.b_packets_over , \dut.b_hard_over ;
    (* hierconn *) wire [63:0] \dut.b_seq , \dut.b_limit , \dut.b_deadline , \dut.b_packets , \dut.b_bytes , \dut.b_drops ;
    (* hierconn *) wire [63:0] \dut.b_seq_more , \dut.b_packets_more , \dut.b_bytes_more , \dut.b_drops_more ;

    // ---- what is watched
    (* anyconst *) wire slot;
    (* anyconst *) wire [63:0] number;
    always @* begin
        assume (\dut.st_mem.at == slot && \dut.limit_ram.at == slot && \dut.cfg_ram.at == slot);
    end

    // ---- inputs
    reg begun = 0;
    reg [2:0] since = 3'd4;
    reg [210:0] was_op;
    reg waits;
    reg [128:0] was_meta;
    wire [128:0] meta_all = {meta_sa, meta_gen, meta_len, meta_frag, meta_src, meta_dst};
    wire [210:0] op_all = {op, op_index, op_gen, op_seq, op_limit, op_deadline};
    always @(posedge clk) begin
        begun <= 1;
        was_op <= op_all;
        waits <= meta_valid && !meta_ready;
        was_meta <= meta_all;
        since <= !begun ? 3'd4 : op_go ? 3'd0 : (since == 3'd4) ? since : since + 3'd1;
    end
    always @* begin
        assume (rst == !begun);
        assume (!op_go || op_ready);
        if (since != 3'd4)
            assume (!op_go && !admit && op_all == was_op);
        if (!begun)
            assume (!op_go && !admit);
        if (begun && waits)
            assume (meta_valid && meta_all == was_meta);
    end

    // ---- the reference: the SA's state, and what its packets and operations make of it
    reg valid, draining;
    reg [15:0] gen;
    reg [63:0] next, limit, deadline, packets, bytes, drops;
    // (no register without an initial value: Yosys would make it the one value that it is ever given)
    (* anyconst *) wire given_before;
    reg cleared = 0, given_since = 0;
    // the watched number has been given under this key
    wire given = given_since || (given_before && !cleared);
    wire [63:0] soft_bytes, hard_bytes, soft_packets, hard_packets;
    wire [31:0] spi;
    assign {spi, soft_bytes, hard_bytes, soft_packets, hard_packets} = \dut.limit_ram.word ;
    wire esn = \dut.cfg_ram.word [27];
    reg [63:0] now_b;
    reg [15:0] len_b;
    wire here = \dut.b_index == slot;
    wire mine = \dut.b_there && valid && \dut.b_asked == gen;
    wire room = packets <= hard_packets && {1'b0, bytes} + {49'd0, len_b} <= {1'b0, hard_bytes};
    wire want = mine && !draining && now_b < deadline && next < limit && (esn || next[63:32] == 32'd0) && room
                && \dut.b_clean && !\dut.b_stranger && !\dut.b_long ;
    wire lease = \dut.b_code == OP_LEASE || \dut.b_code == OP_INIT;
    reg ok_c, ok_w, op_c, here_c, given_c;
    reg [63:0] number_c;
    reg [337:0] state_c;
    always @(posedge clk) begin
        now_b <= now;
        len_b <= \dut.a_len ;
        ok_c <= begun && \dut.b_pkt && here && want;
        op_c <= begun && \dut.b_op && here;
        ok_w <= ok_c;
        number_c <= next;
        here_c <= begun && \dut.b_pkt && here && \dut.b_there ;
        given_c <= given;
        state_c <= {valid, now_b >= deadline, gen, next, limit, packets, bytes, drops};
        if (begun && \dut.b_pkt && here) begin
            if (want) begin
                next <= next + 64'd1;
                packets <= packets + 64'd1;
                bytes <= bytes + {48'd0, len_b};
                given_since <= given_since || next == number;
            end else if (mine)
                drops <= drops + 64'd1;
        end
        if (begun && \dut.b_op && here) begin
            if (lease)
                {limit, deadline} <= {op_limit, op_deadline};
            case (\dut.b_code )
                OP_READ, OP_LEASE: ;
                OP_RENEW: deadline <= op_deadline;
                OP_DRAIN: draining <= 1;
                OP_INIT: {valid, draining, gen, next, packets, bytes, drops} <= {1'b1, 1'b0, op_gen, op_seq, 192'd0};
                default: {valid, draining, gen, next, limit, deadline, packets, bytes, drops} <= 402'd0;
            endcase
            // a new key
            if (\dut.b_code != OP_READ && \dut.b_code != OP_LEASE && \dut.b_code != OP_RENEW && \dut.b_code != OP_DRAIN)
                {cleared, given_since} <= 2'b10;
        end
    end

    wire in_t = \dut.t_pkt || \dut.t_op , in_a = \dut.a_pkt || \dut.a_op , in_b = \dut.b_pkt || \dut.b_op ;

    // ---- memory and what is being written make the state
    wire [465:0] kept = (\dut.c && \dut.c_index == slot) ? \dut.c_state : \dut.st_mem.word ;
    wire [63:0] low_at;
    wire [401:0] kept_all;
    assign {kept_all[401:256], low_at, kept_all[255:0]} = kept;
    wire linked = kept_all == {valid, draining, gen, next, limit, deadline, packets, bytes, drops} && (!given || next > number);

    wire here_t = in_t && \dut.t_index == slot;
    wire here_a = in_a && \dut.a_index == slot;

    always @* if (!begun)
        assume (linked);
    always @* if (begun) begin
        if (\dut.b_pkt && here && \dut.b_there )
            a_exact: assert (\dut.good == want);
        if (out_valid && here_c)
            a_number: assert ((out_status == 16'd0) == ok_c && (!ok_c || (out_seq == number_c && out_esn == esn)));
        if (out_valid && here_c && out_status == 16'd0 && out_seq == number)
            a_once: assert (!given_c);
        if (op_done && op_c)
            a_answer: assert ({op_valid, op_expired, op_cur_gen, op_next_seq, op_cur_limit, op_packets, op_bytes, op_drops} == state_c);
`ifdef LINK
        a_linked: assert (linked);
        a_ops: assert (\dut.t_op == (since == 3'd0) && \dut.a_op == (since == 3'd1) && \dut.b_op == (since == 3'd2) && since <= 3'd4);
        a_apart: assert (!(in_t && in_a) && !(in_a && in_b) && !(in_b && \dut.c )
                         && !(\dut.t_pkt && \dut.t_op ) && !(\dut.a_pkt && \dut.a_op ) && !(\dut.b_pkt && \dut.b_op ));
        if (\dut.stood && meta_sa[0] == slot)
            a_limits: assert (\dut.limits == \dut.limit_ram.word );
        if (here_t)
            a_read: assert ((\dut.t_again ? \dut.c_state : \dut.st_ram ) == kept);
        if (here_t && \dut.t_pkt )
            a_read_too: assert (\dut.cfg == \dut.cfg_ram.word && \dut.t_hard_bytes == hard_bytes && \dut.t_hard_packets == hard_packets);
        if (in_a)
            a_next: assert (\dut.a_next == (\dut.c && \dut.c_index == \dut.a_index ));
        if (here_a && !\dut.a_next )
            a_state: assert ((\dut.a_again ? \dut.a_state_again : \dut.a_state ) == kept);
        if (here_a && \dut.a_pkt )
            a_room: assert (\dut.c_esn == esn && \dut.hard_packets == hard_packets
                            && {\dut.hard_none , \dut.hard_room } == {1'b0, hard_bytes} - {49'd0, \dut.a_len });
        if (in_b && here) begin
            a_state_b: assert ({\dut.b_valid , \dut.b_draining , \dut.b_gen , \dut.b_seq , \dut.b_limit , \dut.b_deadline , \dut.b_packets ,
                                \dut.b_bytes , \dut.b_drops } == kept_all);
            a_expired: assert (\dut.b_expired == (now_b >= deadline));
        end
        if (\dut.a_pkt )
            a_refusal: assert (\dut.a_refused == (\dut.a_verdict != 16'd0));
        if (\dut.b_pkt )
            a_reason: assert (\dut.b_clean || \dut.b_verdict != 16'd0);
        if (\dut.b_pkt && here) begin
            a_more: assert (\dut.b_seq_more == next + 64'd1 && \dut.b_packets_more == packets + 64'd1
                            && \dut.b_drops_more == drops + 64'd1 && \dut.b_bytes_more == bytes + {48'd0, len_b});
            a_ended: assert (\dut.b_ended == (next >= limit));
            a_packets_over: assert (\dut.b_packets_over == (hard_packets < packets));
            a_bytes_over: assert ((\dut.b_hard_none || \dut.b_hard_over ) == ({1'b0, bytes} + {49'd0, len_b} > {1'b0, hard_bytes}));
            a_parts: assert (\dut.b_wraps == (!esn && next[63:32] != 32'd0) && \dut.b_other == (\dut.b_asked != gen)
                             && (valid || !\dut.b_there ) && \dut.b_esn == esn);
        end
`endif
        c_hot: cover (\dut.b_pkt && here && want && ok_w);
        c_wraps: cover (\dut.b_pkt && here && mine && !want && !esn && next == 64'h100000000 && next < limit);
        c_carries: cover (\dut.b_pkt && here && want && next == 64'hffffffff && bytes[31:0] > 32'hffff0000 && packets[31:0] == 32'hffffffff);
        c_ended: cover (\dut.b_pkt && here && mine && !want && next == limit && limit != 64'd0);
        c_full: cover (\dut.b_pkt && here && mine && !want && !room && packets <= hard_packets);
        c_leased: cover (\dut.b_op && here && \dut.b_code == OP_LEASE && valid && op_limit > limit);
    end
endmodule
