// SPDX-License-Identifier: Apache-2.0
// rtl/lib/skid.v against its contract, for any input: word number N in is word number N out, a word that waits stays, and
// s_ready is low only while two words are inside. As in fifo_f.v.
module skid_f (
    input wire       clk,
    input wire       rst,
    input wire       s_valid,
    input wire       m_ready,
    input wire [3:0] s_data
);
    wire s_ready, m_valid;
    wire [3:0] m_data;

    skid #(.W(4)) dut (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data), .m_valid(m_valid), .m_ready(m_ready),
        .m_data(m_data)
    );

    // the buffer's own register, joined by name when Yosys flattens
    (* hierconn *) wire [3:0] \dut.spare ;

    (* anyconst *) wire [2:0] at;
    (* anyconst *) wire [3:0] val;
    reg [2:0] taken, left;
    wire s = s_valid && s_ready;
    wire m = m_valid && m_ready;
    wire [2:0] inside = taken - left;
    wire [2:0] depth = at - left;

    reg begun = 0;
    reg held;
    reg [3:0] held_data;
    always @(posedge clk) begin
        begun <= 1;
        if (!begun)
            assume (rst);
        if (s && taken == at)
            assume (s_data == val);
        taken <= rst ? 3'd0 : taken + {2'd0, s};
        left <= rst ? 3'd0 : left + {2'd0, m};
        held <= !rst && m_valid && !m_ready;
        held_data <= m_data;
        if (begun) begin
            if (m && left == at)
                a_word: assert (m_data == val);
            a_count: assert (inside == {2'd0, m_valid} + {2'd0, !s_ready});
            if (held)
                a_stable: assert (m_valid && m_data == held_data);
`ifdef LINK
            a_order: assert (m_valid || s_ready);
            if (depth == 0 && inside != 0)
                a_at_head: assert (m_data == val);
            if (depth == 1 && inside == 2)
                a_in_spare: assert (\dut.spare == val);
`endif
            c_full: cover (inside == 2);
            c_last: cover (m && left == 3'd5 && inside == 1);
        end
    end
endmodule
