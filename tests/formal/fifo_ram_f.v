// SPDX-License-Identifier: Apache-2.0
// rtl/lib/fifo_ram.v against its contract, for any input: word number N written is word number N read (one N and its word are
// watched, both arbitrary: order kept, nothing lost, repeated or changed), a head that waits stays, `level` and `some` tell what is
// inside, and a word inside is at the head within three cycles where nothing is before it. The numbers wrap at 16 while at most 6
// words are inside, so the proof holds for queues of any age. What stands under LINK ties the watched word to its place in the
// queue: with it the proof is by induction.
module fifo_ram_f (
    input wire       clk,
    input wire       rst,
    input wire       wr_valid,
    input wire       rd_ready,
    input wire [3:0] wdata
);
    localparam LOG2_D = 2;
    wire wr_ready, rd_valid, some;
    wire [3:0] rdata;
    wire [LOG2_D:0] level;

    fifo_ram #(.W(4), .LOG2_D(LOG2_D)) dut (
        .clk(clk), .rst(rst), .wr_valid(wr_valid), .wr_ready(wr_ready), .wdata(wdata), .rd_valid(rd_valid),
        .rd_ready(rd_ready), .rdata(rdata), .level(level), .some(some)
    );

    // the queue's own registers, joined by name when Yosys flattens
    (* hierconn *) wire \dut.read ;
    (* hierconn *) wire [3:0] \dut.word ;
    (* hierconn *) wire [LOG2_D:0] \dut.rptr ;
    (* hierconn *) wire [3:0] \dut.ram.mem[0] , \dut.ram.mem[1] , \dut.ram.mem[2] , \dut.ram.mem[3] ;
    wire [15:0] ring = {\dut.ram.mem[3] , \dut.ram.mem[2] , \dut.ram.mem[1] , \dut.ram.mem[0] };

    (* anyconst *) wire [3:0] at;
    (* anyconst *) wire [3:0] val;
    reg [3:0] written, read;
    wire w = wr_valid && wr_ready;
    wire r = rd_valid && rd_ready;
    wire [3:0] inside = written - read;
    // how far the watched word is behind the next one to be read, and behind the next to leave the ring
    wire [3:0] depth = at - read;
    wire [3:0] behind = depth - {3'd0, rd_valid} - {3'd0, \dut.read };
    wire waits = depth < inside;
    wire [LOG2_D-1:0] place = \dut.rptr [LOG2_D-1:0] + behind[LOG2_D-1:0];

    reg begun = 0;
    reg held;
    reg [3:0] held_data;
    // for how many cycles there was a word inside and none at the head
    reg [1:0] waited = 0;
    always @(posedge clk) begin
        begun <= 1;
        if (!begun)
            assume (rst);
        if (w && written == at)
            assume (wdata == val);
        written <= rst ? 4'd0 : written + {3'd0, w};
        read <= rst ? 4'd0 : read + {3'd0, r};
        held <= !rst && rd_valid && !rd_ready;
        held_data <= rdata;
        waited <= (begun && !rst && some && !rd_valid) ? waited + 2'd1 : 2'd0;
        if (begun) begin
            if (r && read == at)
                a_word: assert (rdata == val);
            a_count: assert (inside == {1'b0, level} + {3'd0, rd_valid} + {3'd0, \dut.read });
            a_some: assert (some == (inside != 0));
            a_room: assert (level <= 3'd4 && wr_ready == (level != 3'd4));
            a_comes: assert (waited < 2'd3 && (waited != 2'd2 || rd_valid));
            if (held)
                a_stable: assert (rd_valid && rdata == held_data);
`ifdef LINK
            if (waited == 2'd1 && !rd_valid)
                a_on_its_way: assert (\dut.read );
            if (waits && rd_valid && depth == 0)
                a_at_head: assert (rdata == val);
            if (waits && \dut.read && depth == {3'd0, rd_valid})
                a_at_output: assert (\dut.word == val);
            if (waits && depth >= {3'd0, rd_valid} + {3'd0, \dut.read })
                a_in_ring: assert (ring[{place, 2'd0} +: 4] == val);
`endif
            c_full: cover (inside == 6);
            c_last: cover (r && inside == 1 && read == 4'd9);
            c_rate: cover (r && w && inside == 3 && read == 4'd9);
        end
    end
endmodule
