// SPDX-License-Identifier: Apache-2.0
// No byte leaves rtl/esp/esp_rx_egress.v, the one way out of the store of opened packets, but those of packets whose verdict is OK,
// each packet's own and where they belong; and the stream keeps AXI-Stream's rule. The store moves beats whole and looks at none, so
// bits of a beat can say what it is: bit 0, and bit 96, the first of the four octets that in transport mode leave a beat later than
// the others. One beat is watched, the same one, any, of any packets whose verdicts are OK: there both are clear. In all others,
// those of other packets and those of which nothing may leave, they may be set. Then they are never set where that beat leaves.
// Which beats are whose is counted here, from what is written and what each job says. In transport mode the packet's own header is
// before them, octet by octet, as made here from what the job says.
//
// Contract of the inputs: a job stands still until it is taken; the beats of a packet of this epoch are in the store a cycle before
// its job comes, and hold at least its bytes, but for the header of one in transport mode, which has at least that; the store never holds
// more than its size; a packet of a passed epoch stays one, and the epoch changes as `wipe` begins, during which nothing is written.
module egress_f (
    input wire         clk,
    input wire         rst,
    input wire         wipe,
    input wire [7:0]   epoch,
    input wire         p_valid,
    input wire [127:0] p_data,
    input wire         e_valid,
    input wire [7:0]   e_epoch,
    input wire [4:0]   e_status,
    input wire         e_found,
    input wire [63:0]  e_seq,
    input wire [15:0]  e_len,
    input wire         e_single,
    input wire [2:0]   e_beats,
    input wire         e_patch,
    input wire [7:0]   e_tos,
    input wire [15:0]  e_sum,
    input wire         e_transport,
    input wire [7:0]   e_next,
    input wire [97:0]  e_head,
    // the packet is one of those that are watched
    input wire         e_mine,
    input wire         m_ready
);
    (* anyconst *) wire [1:0] watched;
    wire e_take, m_valid, m_last;
    wire [127:0] m_data;
    wire [15:0] m_keep, m_status, m_len;
    wire [63:0] m_seq;
    wire [31:0] m_sa;
    esp_rx_egress #(.LANES(1), .LOG2_SA(1), .TAGW(1), .LOG2_D(2)) dut (
        .clk(clk), .rst(rst), .wipe(wipe), .epoch(epoch), .p_valid(p_valid), .p_data(p_data), .e_valid(e_valid), .e_take(e_take),
        .e_epoch(e_epoch), .e_tag(1'b0), .e_status(e_status), .e_found(e_found), .e_slot(1'b0), .e_gen(16'd0), .e_seq(e_seq),
        .e_soft(1'b0), .e_src_changed(1'b0), .e_len(e_len), .e_single(e_single), .e_beats(e_beats), .e_patch(e_patch),
        .e_tos(e_tos), .e_sum(e_sum), .e_transport(e_transport), .e_next(e_next), .e_head(e_head), .m_valid(m_valid),
        .m_ready(m_ready), .m_data(m_data), .m_keep(m_keep), .m_last(m_last), .m_status(m_status), .m_seq(m_seq), .m_sa(m_sa),
        .m_len(m_len)
    );
    (* hierconn *) wire [1:0] \dut.wptr , \dut.base , \dut.at ;
    (* hierconn *) wire [15:0] \dut.left ;
    (* hierconn *) wire \dut.begun , \dut.last , \dut.dry , \dut.whole ;
    (* hierconn *) wire [159:0] \dut.over ;
    (* hierconn *) wire [127:0] \dut.q , \dut.ahead , \dut.mem[0] , \dut.mem[1] , \dut.mem[2] , \dut.mem[3] ;
    wire [3:0] stored = {\dut.mem[3] [0], \dut.mem[2] [0], \dut.mem[1] [0], \dut.mem[0] [0]};
    wire [3:0] stored_end = {\dut.mem[3] [96], \dut.mem[2] [96], \dut.mem[1] [96], \dut.mem[0] [96]};

    reg begun = 0, ran = 0, waits, stalled, passed, was_wipe = 0;
    // a beat was stored in the cycle before, and where
    reg fresh = 0;
    reg [1:0] fresh_at;
    reg [7:0] was_epoch;
    wire [230:0] e_all = {e_epoch, e_status, e_found, e_seq, e_len, e_single, e_beats, e_patch, e_tos, e_sum, e_transport, e_next,
                          e_head, e_mine};
    reg [230:0] was_e;
    wire [249:0] m_all = {m_data, m_keep, m_last, m_status, m_seq, m_len, 9'd0};
    reg [249:0] was_m;
    reg [31:0] was_sa;
    wire stale = wipe || e_epoch != epoch;
    always @(posedge clk) begin
        begun <= 1;
        ran <= begun;
        waits <= e_valid && !e_take && !rst;
        passed <= e_valid && !e_take && stale && !rst;
        stalled <= m_valid && !m_ready && !rst;
        was_wipe <= wipe;
        fresh <= p_valid && !rst && !wipe;
        fresh_at <= \dut.wptr ;
        was_epoch <= epoch;
        was_e <= e_all;
        was_m <= m_all;
        was_sa <= m_sa;
    end

    // ---- which beats are in the store, whose they are, and their marks
    reg [1:0] first = 0;
    reg [2:0] held = 0;
    reg [3:0] marks = 0;
    wire [3:0] here = {marks, marks} >> first;
    wire marked = here[watched] && {1'b0, watched} < e_beats;
    wire gone = e_take && !stale;
    always @(posedge clk) begin
        held <= (rst || wipe) ? 3'd0 : held + {2'd0, p_valid} - (gone ? e_beats : 3'd0);
        if (p_valid || wipe)
            marks[\dut.wptr ] <= p_data[0] && !wipe;
        if (rst || wipe)
            first <= wipe ? \dut.wptr + 2'd1 : 2'd0;
        else if (gone)
            first <= first + e_beats[1:0];
    end

    // ---- how many of its beats have left of the packet whose turn it is; of the beat that waits to be taken: which one it is, of what
    // packet, and that packet's header (RFC 791), octets in wire order
    reg [2:0] sent = 0, m_nth;
    reg m_mine, m_transport;
    reg [159:0] m_head;
    wire [159:0] header = {e_head[31:0], e_head[63:32], e_sum[7:0], e_sum[15:8], e_next, e_head[71:64], 8'd0, e_head[73:72], 6'd0,
                           e_head[89:74], e_len[7:0], e_len[15:8], e_head[97:90], 8'h45};
    wire go = e_valid && (!m_valid || m_ready);
    always @(posedge clk) begin
        if (go) begin
            sent <= e_take ? 3'd0 : sent + 3'd1;
            m_nth <= sent;
            {m_mine, m_transport} <= {e_mine, e_transport};
            m_head <= header;
        end
        if (rst)
            sent <= 3'd0;
    end
    // where octets of the watched beat stand in it
    wire sees = m_mine && m_nth == {1'b0, watched} + {2'd0, m_transport};
    wire sees_end = m_mine && m_nth == {1'b0, watched} + {1'd0, m_transport, 1'd0};
    wire set = (sees && (m_transport ? m_keep[4] && m_data[32] : m_data[0]))
               || (sees_end && (m_transport ? m_keep[0] && m_data[0] : m_keep[12] && m_data[96]));
    // the beat that has the packet's last octet
    wire [2:0] m_final = m_len[6:4] - {2'd0, m_len[3:0] == 4'd0};
    wire [15:0] e_before = {9'd0, sent, 4'd0};

    always @* begin
        assume (rst == !begun && (begun || (stored == marks && stored_end == marks)));
        assume (p_data[0] == p_data[96]);
        // a wipe that reset begins goes on behind it
        assume (!begun || ran || !was_wipe || wipe);
        if (begun) begin
            assume (!waits || (e_valid && e_all == was_e));
            assume (!passed || stale);
            assume (epoch == was_epoch || (wipe && !was_wipe));
        end
        assume (!(wipe && p_valid));
        assume (!p_valid || held < 3'd4);
        if (e_valid && !stale) begin
            assume ({1'b0, e_beats} + {3'd0, fresh} <= {1'b0, held});
            if (e_status == 5'd0)
                assume (e_len >= (e_transport ? 16'd20 : 16'd1) && e_len <= {9'd0, e_beats, 4'd0} + (e_transport ? 16'd20 : 16'd0)
                        && e_single == (e_len <= 16'd16) && !(e_mine && marked));
        end
    end

    always @* if (begun) begin
        if (m_valid && m_keep != 16'd0)
            a_verified: assert (!set && m_status == 16'd0);
        if (m_valid && m_status == 16'd0) begin
            a_not_empty: assert (m_keep[0]);
            a_length: assert (m_nth <= m_final && m_last == (m_nth == m_final) && m_len[15:7] == 9'd0
                              && m_keep == ((m_last && m_len[3:0] != 4'd0) ? ~(16'hffff << m_len[3:0]) : 16'hffff));
            if (m_transport && m_nth == 3'd0)
                a_head: assert (m_data == m_head[127:0]);
            if (m_transport && m_nth == 3'd1)
                a_head_end: assert (m_data[31:0] == m_head[159:128] && m_keep[3:0] == 4'hf);
        end
        if (stalled)
            a_stays: assert (m_valid && m_all == was_m && m_sa == was_sa);
`ifdef LINK
        a_held: assert (held <= 3'd4 && (\dut.wptr == first + held[1:0] || (!ran && was_wipe && held == 3'd0)));
        a_base: assert (\dut.base == first);
        a_marks: assert (stored == marks && stored_end == marks);
        a_begun: assert (\dut.begun ? waits && sent != 3'd0 : \dut.at == \dut.base && sent == 3'd0);
        a_fresh: assert (!fresh || (held != 3'd0 && fresh_at == \dut.wptr - 2'd1));
        // what has been read ahead is what is stored there
        if (ran && !was_wipe && !(fresh && fresh_at == \dut.at ))
            a_ahead: assert ({\dut.ahead [96], \dut.ahead [0]} == {2{stored[\dut.at ]}});
        if (\dut.begun && e_valid && !stale) begin
            a_ok: assert (e_status == 5'd0);
            a_left: assert (\dut.left + e_before == e_len && \dut.left != 16'd0 && \dut.left < e_len);
            a_last: assert (\dut.last == (\dut.left <= 16'd16) && \dut.dry == (\dut.left <= 16'd4));
            a_offset: assert (\dut.at == \dut.base + sent[1:0] - {1'b0, e_transport});
            if (e_transport) begin
                a_whole: assert (\dut.whole == (sent == 3'd1));
                if (sent == 3'd1)
                    a_over: assert (\dut.over [159:128] == header[159:128]);
                if (e_mine && sent == {1'b0, watched} + 3'd2)
                    a_kept: assert (!\dut.q [96]);
            end
        end
`endif
        c_two: cover (m_valid && m_ready && m_last && m_status == 16'd0 && m_len == 16'd20);
        c_transport: cover (m_valid && m_ready && m_last && sees_end && m_transport && m_keep[0] && m_len == 16'd60);
        c_dry: cover (m_valid && m_ready && m_last && sees_end && m_transport && m_status == 16'd0 && m_len == 16'd52);
        c_head_alone: cover (m_valid && m_ready && m_last && m_transport && m_status == 16'd0 && m_len == 16'd20);
        c_refused: cover (m_valid && m_status == 16'd11 && here[0]);
        c_stalled: cover (stalled && m_keep != 16'd0);
    end
endmodule
