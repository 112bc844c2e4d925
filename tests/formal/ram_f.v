// SPDX-License-Identifier: Apache-2.0
// rtl/lib/ram_ab.v against what proofs take it for (ram_ab_any.v): the word at any one address is what port B wrote there
// last, and an output changes only by a read.
module ram_f (
    input wire       clk,
    input wire       a_en,
    input wire [1:0] a_addr,
    input wire       b_en,
    input wire       b_we,
    input wire [1:0] b_addr,
    input wire [2:0] b_wdata
);
    wire [2:0] a_rdata, b_rdata;
    ram_ab #(.W(3), .LOG2_D(2), .COLUMN(2)) dut (
        .clk(clk), .a_en(a_en), .a_addr(a_addr), .a_rdata(a_rdata), .b_en(b_en), .b_we(b_we), .b_addr(b_addr),
        .b_wdata(b_wdata), .b_rdata(b_rdata)
    );
    // two columns, the second one narrower
    (* hierconn *) wire [1:0] \dut.column[0].mem[0] , \dut.column[0].mem[1] , \dut.column[0].mem[2] , \dut.column[0].mem[3] ;
    (* hierconn *) wire \dut.column[2].mem[0] , \dut.column[2].mem[1] , \dut.column[2].mem[2] , \dut.column[2].mem[3] ;

    (* anyconst *) wire [1:0] at;
    wire [1:0] low = at == 0 ? \dut.column[0].mem[0] : at == 1 ? \dut.column[0].mem[1]
                   : at == 2 ? \dut.column[0].mem[2] : \dut.column[0].mem[3] ;
    wire high = at == 0 ? \dut.column[2].mem[0] : at == 1 ? \dut.column[2].mem[1]
              : at == 2 ? \dut.column[2].mem[2] : \dut.column[2].mem[3] ;
    wire [2:0] really = {high, low};
    reg begun = 0;
    reg [2:0] word, last;
    reg was_read, was_idle;
    always @(posedge clk) begin
        begun <= 1;
        if (!begun)
            assume (word == really);
        if (b_en && b_we && b_addr == at)
            word <= b_wdata;
        was_read <= b_en && !b_we && b_addr == at;
        was_idle <= !b_en || b_we;
        last <= b_rdata;
        if (begun) begin
            if (was_read)
                a_read: assert (b_rdata == word);
            if (was_idle)
                a_stays: assert (b_rdata == last);
`ifdef LINK
            a_link: assert (word == really);
`endif
            c_read: cover (was_read && word == 3'd5);
        end
    end
endmodule
