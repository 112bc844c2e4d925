// SPDX-License-Identifier: Apache-2.0
// rtl/esp/esp_tx_cut.v never mixes packets: for each packet that comes in one leaves, in order, and what is in its beats is of its own
// beats or zeros, also where it ends earlier than its length says. Packets are of two kinds here, one of which has beats of zeros
// alone and a last one that is not bad; nothing else may be seen where one of these leaves. What is told of the others' beats is not
// looked at here: tests/rtl/test_tx.c compares them with OpenSSL's. Once for beats of 16 octets, whose first is all header in
// transport mode, and once for wider ones.
//
// Contract of the inputs: none beyond reset's; beats may come and be taken in any cycle, and `s_short` says what it will.
module cut_f (
    input wire         clk,
    input wire         rst,
    input wire         c_valid,
    input wire         c_cut,
    input wire         s_valid,
    input wire [255:0] s_data,
    input wire         s_last,
    input wire         s_bad,
    input wire         s_short,
    input wire         s_mine,
    input wire         m_ready
);
    cut_one #(.LANES(1)) narrow (.clk(clk), .rst(rst), .c_valid(c_valid), .c_cut(c_cut), .s_valid(s_valid), .s_data(s_data[127:0]),
                                 .s_last(s_last), .s_bad(s_bad), .s_short(s_short), .s_mine(s_mine), .m_ready(m_ready));
    cut_one #(.LANES(2)) wide (.clk(clk), .rst(rst), .c_valid(c_valid), .c_cut(c_cut), .s_valid(s_valid), .s_data(s_data),
                               .s_last(s_last), .s_bad(s_bad), .s_short(s_short), .s_mine(s_mine), .m_ready(m_ready));
endmodule

module cut_one #(
    parameter LANES = 1,
    parameter W = 128 * LANES
) (
    input wire         clk,
    input wire         rst,
    input wire         c_valid,
    input wire         c_cut,
    input wire         s_valid,
    input wire [W-1:0] s_data,
    input wire         s_last,
    input wire         s_bad,
    input wire         s_short,
    // the packet is one of zeros
    input wire         s_mine,
    input wire         m_ready
);
    wire c_ready, s_ready, m_valid, m_last, m_bad;
    wire [W-1:0] m_data;
    esp_tx_cut #(.LANES(LANES)) dut (
        .clk(clk), .rst(rst), .c_valid(c_valid), .c_ready(c_ready), .c_cut(c_cut), .s_valid(s_valid), .s_ready(s_ready),
        .s_data(s_data), .s_last(s_last), .s_bad(s_bad), .s_short(s_short), .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data),
        .m_last(m_last), .m_bad(m_bad)
    );
    (* hierconn *) wire \dut.held , \dut.last , \dut.bad , \dut.first ;
    (* hierconn *) wire [W-1:0] \dut.data ;

    reg begun = 0;
    // within a packet that comes in, and its kind; a packet has begun to come in and has not left, and its kind
    reg inside = 0, mine = 0, open = 0, open_mine = 0;
    wire take = s_valid && s_ready;
    wire gone = m_valid && m_ready && m_last;
    always @(posedge clk) begin
        begun <= 1;
        if (take) begin
            inside <= !s_last;
            mine <= s_mine;
        end
        if (take && !inside)
            {open, open_mine} <= {1'b1, s_mine};
        else if (gone)
            open <= 1'b0;
        if (rst)
            {inside, open} <= 2'b00;
    end

    always @* begin
        assume (rst == !begun);
        if (s_valid) begin
            assume (!inside || s_mine == mine);
            assume (!s_mine || (s_data == {W{1'b0}} && !s_bad));
            assume (s_mine || !s_last || s_bad);
        end
    end

    always @* if (begun) begin
        if (m_valid) begin
            a_of_one: assert (open);
            if (open_mine)
                a_own: assert (m_data == {W{1'b0}});
            if (m_last)
                a_bad: assert (m_bad == !open_mine);
        end
        if (take && !inside)
            a_order: assert (c_valid && (!open || gone));
        a_one_word: assert (c_ready == (take && !inside));
`ifdef LINK
        a_first: assert (\dut.first == !inside);
        a_open: assert (open ? \dut.held || inside : !\dut.held && !inside);
        if (inside)
            a_mine: assert (mine == open_mine);
        if (\dut.held ) begin
            a_last: assert (\dut.last == !inside);
            if (open_mine)
                a_held: assert (\dut.data == {W{1'b0}});
            if (\dut.last )
                a_held_bad: assert (\dut.bad == !open_mine);
        end
`endif
        c_cut_short: cover (gone && open_mine && inside && take && s_last);
        c_next_at_once: cover (gone && open_mine && take && !s_mine && !inside);
        c_beats: cover (gone && !open_mine && m_data[W-1 -: 8] != 8'd0);
    end
endmodule
