// SPDX-License-Identifier: Apache-2.0
// No byte leaves rtl/esp/esp_rx_egress.v, the one way out of the store of opened packets, but those of packets whose verdict is OK;
// and the stream keeps AXI-Stream's rule. The store moves beats whole and looks at none, so bit 0 of a beat can say of whom it is:
// set in any beat of any packet whose verdict will be another than OK, or whose epoch will have passed. Then it is never set in a
// beat that leaves with a byte. Which beats are whose is counted here, from what is written and what each job says.
//
// Contract of the inputs: a job stands still until it is taken; the beats of a packet of this epoch are in the store when its job
// comes, and hold at least its bytes; the store never holds more than its size; a packet of a passed epoch stays one, and the epoch
// changes as `wipe` begins, during which nothing is written.
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
    input wire         m_ready
);
    wire e_take, m_valid, m_last;
    wire [127:0] m_data;
    wire [15:0] m_keep, m_status, m_len;
    wire [63:0] m_seq;
    wire [31:0] m_sa;
    esp_rx_egress #(.LANES(1), .LOG2_SA(1), .TAGW(1), .LOG2_D(2)) dut (
        .clk(clk), .rst(rst), .wipe(wipe), .epoch(epoch), .p_valid(p_valid), .p_data(p_data), .e_valid(e_valid), .e_take(e_take),
        .e_epoch(e_epoch), .e_tag(1'b0), .e_status(e_status), .e_found(e_found), .e_slot(1'b0), .e_gen(16'd0), .e_seq(e_seq),
        .e_soft(1'b0), .e_src_changed(1'b0), .e_len(e_len), .e_single(e_single), .e_beats(e_beats), .e_patch(e_patch),
        .e_tos(e_tos), .e_sum(e_sum), .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data), .m_keep(m_keep), .m_last(m_last),
        .m_status(m_status), .m_seq(m_seq), .m_sa(m_sa), .m_len(m_len)
    );
    (* hierconn *) wire [1:0] \dut.wptr , \dut.base , \dut.offset ;
    (* hierconn *) wire [15:0] \dut.left ;
    (* hierconn *) wire \dut.begun , \dut.last ;
    (* hierconn *) wire [127:0] \dut.mem[0] , \dut.mem[1] , \dut.mem[2] , \dut.mem[3] ;
    wire [3:0] stored = {\dut.mem[3] [0], \dut.mem[2] [0], \dut.mem[1] [0], \dut.mem[0] [0]};

    reg begun = 0, ran = 0, waits, stalled, passed, was_wipe = 0;
    reg [7:0] was_epoch;
    wire [124:0] e_all = {e_epoch, e_status, e_found, e_seq, e_len, e_single, e_beats, e_patch, e_tos, e_sum, 2'd0};
    reg [124:0] was_e;
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
    wire marked = |(here & ~(4'b1111 << e_beats));
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
    always @* begin
        assume (rst == !begun && (begun || stored == marks));
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
            assume (e_beats <= held);
            if (e_status == 5'd0)
                assume (e_len != 16'd0 && e_len <= {9'd0, e_beats, 4'd0} && e_single == (e_len <= 16'd16) && !marked);
        end
    end

    always @* if (begun) begin
        if (m_valid && m_keep != 16'd0)
            a_verified: assert (!m_data[0] && m_status == 16'd0);
        if (m_valid && m_status == 16'd0)
            a_not_empty: assert (m_keep[0]);
        if (stalled)
            a_stays: assert (m_valid && m_all == was_m && m_sa == was_sa);
`ifdef LINK
        a_held: assert (held <= 3'd4 && (\dut.wptr == first + held[1:0] || (!ran && was_wipe && held == 3'd0)));
        a_base: assert (\dut.base == first);
        a_marks: assert (stored == marks);
        a_begun: assert (\dut.begun ? waits : \dut.offset == 2'd0);
        if (\dut.begun && e_valid && !stale) begin
            a_ok: assert (e_status == 5'd0);
            a_left: assert (\dut.left + {10'd0, \dut.offset , 4'd0} == e_len && \dut.left != 16'd0 && \dut.left < e_len);
            a_last: assert (\dut.last == (\dut.left <= 16'd16) && \dut.offset != 2'd0);
        end
`endif
        c_two: cover (m_valid && m_ready && m_last && m_status == 16'd0 && m_len == 16'd20);
        c_refused: cover (m_valid && m_status == 16'd11 && here[0]);
        c_stalled: cover (stalled && m_keep != 16'd0);
    end
endmodule
