// SPDX-License-Identifier: Apache-2.0
// The card behind its PCIe shell: registers on AXI4-Lite, host memory on AXI4, interrupt requests on a valid/ready port.
// The shell owns config space, the MSI-X table (BAR0 0x8000 ... 0x9fff answers 0 here) and address translation.
//
// Byte n of a bus beat is in bits 8n+7:8n. Bursts are INCR, at most 256 bytes and within a 256-byte block, so never across
// 4 KiB. Reads may start in the middle of a beat; IDs: reads 0 descriptors, 1 payload, 2 SA commands; writes 0 payload,
// 1 completions. `busy` low means: nothing but FREERUN changes until an AXI-Lite access or `freerun_add_valid`.
`default_nettype none

module espalier_top #(
    // 16-byte lanes: 1, 2 or 4
    parameter LANES = 1,
    // log2 of the SA slots in each direction
    parameter LOG2_SA = 10,
    // log2 of the places in each of the four ways of the inbound SPI table
    parameter LOG2_B = LOG2_SA + 1,
    // packet queue pairs, at most 7
    parameter N_QP = 2,
    // interrupt vectors
    parameter N_VEC = 4,
    // longest packet in bytes, in or out
    parameter MAX_LEN = 9216,
    // hash of the sources
    parameter [31:0] BUILD_HASH = 32'd0,
    // nominal clock rate in kHz
    parameter CLOCK_KHZ = 250000,
    parameter W = 128 * LANES,
    parameter KB = 16 * LANES
) (
    input  wire             clk,
    input  wire             rst,
    // SA slots reported and accepted, at most 2^LOG2_SA; constant
    input  wire [LOG2_SA:0] sa_limit,
    // time that passed while the clock stood still
    input  wire             freerun_add_valid,
    input  wire [63:0]      freerun_add,
    output wire             busy,
    // one request for each interrupt
    output wire             irq_valid,
    input  wire             irq_ready,
    output wire [7:0]       irq_vector,
    // registers
    input  wire             s_axil_awvalid,
    output wire             s_axil_awready,
    input  wire [15:0]      s_axil_awaddr,
    input  wire             s_axil_wvalid,
    output wire             s_axil_wready,
    input  wire [31:0]      s_axil_wdata,
    input  wire [3:0]       s_axil_wstrb,
    output wire             s_axil_bvalid,
    input  wire             s_axil_bready,
    output wire [1:0]       s_axil_bresp,
    input  wire             s_axil_arvalid,
    output wire             s_axil_arready,
    input  wire [15:0]      s_axil_araddr,
    output wire             s_axil_rvalid,
    input  wire             s_axil_rready,
    output wire [31:0]      s_axil_rdata,
    output wire [1:0]       s_axil_rresp,
    // host memory
    output wire             m_axi_arvalid,
    input  wire             m_axi_arready,
    output wire [3:0]       m_axi_arid,
    output wire [63:0]      m_axi_araddr,
    output wire [7:0]       m_axi_arlen,
    output wire [2:0]       m_axi_arsize,
    output wire [1:0]       m_axi_arburst,
    output wire [3:0]       m_axi_arcache,
    output wire [2:0]       m_axi_arprot,
    input  wire             m_axi_rvalid,
    output wire             m_axi_rready,
    input  wire [3:0]       m_axi_rid,
    input  wire [W-1:0]     m_axi_rdata,
    input  wire [1:0]       m_axi_rresp,
    input  wire             m_axi_rlast,
    output wire             m_axi_awvalid,
    input  wire             m_axi_awready,
    output wire [3:0]       m_axi_awid,
    output wire [63:0]      m_axi_awaddr,
    output wire [7:0]       m_axi_awlen,
    output wire [2:0]       m_axi_awsize,
    output wire [1:0]       m_axi_awburst,
    output wire [3:0]       m_axi_awcache,
    output wire [2:0]       m_axi_awprot,
    output wire             m_axi_wvalid,
    input  wire             m_axi_wready,
    output wire [W-1:0]     m_axi_wdata,
    output wire [KB-1:0]    m_axi_wstrb,
    output wire             m_axi_wlast,
    input  wire             m_axi_bvalid,
    output wire             m_axi_bready,
    input  wire [3:0]       m_axi_bid,
    input  wire [1:0]       m_axi_bresp
);
    localparam NQ = N_QP + 1;
    localparam [2:0] SIZE = (LANES == 1) ? 3'd4 : (LANES == 2) ? 3'd5 : 3'd6;

    // A parameter out of range names a module that does not exist: no tool goes on.
    generate
        if (LANES != 1 && LANES != 2 && LANES != 4) begin : lanes_refused
            LANES_is_1_2_or_4 stop ();
        end
        if (N_QP < 1 || N_QP > 7 || N_VEC < 1 || N_VEC > 256
            || MAX_LEN < 576 || MAX_LEN > 16384) begin : refused
            espalier_top_parameter_out_of_range stop ();
        end
    endgenerate

    // ---- registers
    wire        wr, rd, rd_hold, axil_busy;
    wire [15:0] wr_addr, rd_addr;
    wire [31:0] wr_data, rd_data;
    csr_axil axil (
        .clk(clk), .rst(rst),
        .s_axil_awvalid(s_axil_awvalid), .s_axil_awready(s_axil_awready), .s_axil_awaddr(s_axil_awaddr),
        .s_axil_wvalid(s_axil_wvalid), .s_axil_wready(s_axil_wready), .s_axil_wdata(s_axil_wdata),
        .s_axil_wstrb(s_axil_wstrb), .s_axil_bvalid(s_axil_bvalid), .s_axil_bready(s_axil_bready),
        .s_axil_bresp(s_axil_bresp), .s_axil_arvalid(s_axil_arvalid), .s_axil_arready(s_axil_arready),
        .s_axil_araddr(s_axil_araddr), .s_axil_rvalid(s_axil_rvalid), .s_axil_rready(s_axil_rready),
        .s_axil_rdata(s_axil_rdata), .s_axil_rresp(s_axil_rresp),
        .wr(wr), .wr_addr(wr_addr), .wr_data(wr_data), .rd(rd), .rd_addr(rd_addr), .rd_data(rd_data),
        .rd_hold(rd_hold), .busy(axil_busy));

    wire reset_request, zeroize_request, outstanding, ready, quench, core_rst, zeroize, reset_busy;
    wire pipe_zeroized, keys_clean, keyed, fatal;
    csr_reset reset (
        .clk(clk), .rst(rst), .reset_request(reset_request), .zeroize_request(zeroize_request || (fatal && keyed)),
        .outstanding(outstanding), .zeroized(pipe_zeroized && keys_clean), .ready(ready), .quench(quench),
        .core_rst(core_rst), .zeroize(zeroize), .busy(reset_busy));

    wire             run;
    wire [31:0]      epoch;
    wire [NQ-1:0]    q_enable, q_start, active;
    wire [NQ*4-1:0]  q_sq_log2, q_cq_log2;
    wire [NQ*64-1:0] q_sq_base, q_cq_base;
    wire [NQ*8-1:0]  q_vector;
    wire             db_sq, db_cq;
    wire [1:0]       err_internal;
    wire [NQ*2-1:0]  cause;
    wire [2:0]       db_q;
    wire [63:0]      now;
    wire [31:0]      db_data;
    wire [NQ*32-1:0] sq_head, cq_done;
    wire             ev_doorbell, ev_fetched, ev_read_beat, ev_write_beat, ev_done, pipe_packets, enc_beat, dec_beat;
    wire [1:0]       ev_done_src;
    wire [15:0]      ev_done_status, ev_done_len;
    csr_regs #(.LANES(LANES), .LOG2_SA(LOG2_SA), .N_QP(N_QP), .N_VEC(N_VEC), .MAX_LEN(MAX_LEN),
               .BUILD_HASH(BUILD_HASH), .CLOCK_KHZ(CLOCK_KHZ)) regs (
        .clk(clk), .rst(rst), .core_rst(core_rst), .sa_limit(sa_limit), .freerun_add_valid(freerun_add_valid),
        .freerun_add(freerun_add), .wr(wr), .wr_addr(wr_addr), .wr_data(wr_data), .rd(rd), .rd_addr(rd_addr),
        .rd_data(rd_data), .reset_request(reset_request), .zeroize_request(zeroize_request), .ready(ready),
        .zeroized(pipe_zeroized && keys_clean), .fatal(fatal), .run(run), .epoch(epoch), .q_enable(q_enable), .q_start(q_start),
        .q_sq_log2(q_sq_log2), .q_cq_log2(q_cq_log2), .q_sq_base(q_sq_base), .q_cq_base(q_cq_base),
        .q_vector(q_vector), .db_sq(db_sq), .db_cq(db_cq), .db_q(db_q), .db_data(db_data), .sq_head(sq_head),
        .cq_done(cq_done), .active(active), .cause(cause), .err_internal(err_internal),
        .rd_hold(rd_hold), .now(now), .ev_pipe_busy(pipe_packets), .ev_enc_beat(enc_beat),
        .ev_dec_beat(dec_beat), .ev_doorbell(ev_doorbell), .ev_fetched(ev_fetched), .ev_read_beat(ev_read_beat),
        .ev_write_beat(ev_write_beat), .ev_done(ev_done), .ev_done_src(ev_done_src),
        .ev_done_status(ev_done_status), .ev_done_len(ev_done_len));

    // ---- rings
    wire            enc_tvalid, enc_tready, dec_tvalid, dec_tready, in_tlast;
    wire [W-1:0]    in_tdata;
    wire [KB-1:0]   in_tkeep;
    wire [15:0]     in_tag, in_gen, in_len;
    wire [31:0]     in_sa;
    wire [1:0]      o_tvalid, o_tready, o_tlast;
    wire [2*W-1:0]  o_tdata;
    wire [31:0]     o_tag, o_status, o_gen, o_len;
    wire [127:0]    o_seq;
    wire [63:0]     o_sa;
    wire [5:0]      o_flags;
    wire            c_tvalid, c_tready, c_tlast, a_tvalid, a_tready, a_tlast;
    wire [63:0]     c_tdata, a_tdata;
    wire [15:0]     a_status;
    wire [1:0]      arid;
    wire [3:0]      arbeats, awbeats;
    wire            awid, ring_busy;
    ring_engine #(.LANES(LANES), .LOG2_SA(LOG2_SA), .NQ(NQ), .MAX_LEN(MAX_LEN)) ring (
        .clk(clk), .rst(core_rst), .run(run), .quench(quench), .epoch(epoch[7:0]), .zeroize(zeroize),
        .sa_limit(sa_limit), .q_enable(q_enable), .q_start(q_start), .q_sq_log2(q_sq_log2), .q_cq_log2(q_cq_log2),
        .q_sq_base(q_sq_base), .q_cq_base(q_cq_base), .q_vector(q_vector), .db_sq(db_sq), .db_cq(db_cq),
        .db_q(db_q), .db_data(db_data), .sq_head(sq_head), .cq_done(cq_done), .active(active),
        .cause(cause), .err_internal(err_internal),
        .ev_doorbell(ev_doorbell), .ev_fetched(ev_fetched), .ev_read_beat(ev_read_beat),
        .ev_write_beat(ev_write_beat), .ev_done(ev_done), .ev_done_src(ev_done_src),
        .ev_done_status(ev_done_status), .ev_done_len(ev_done_len),
        .irq_valid(irq_valid), .irq_ready(irq_ready), .irq_vector(irq_vector),
        .m_tvalid_enc(enc_tvalid), .m_tready_enc(enc_tready), .m_tvalid_dec(dec_tvalid), .m_tready_dec(dec_tready),
        .m_tdata(in_tdata), .m_tkeep(in_tkeep), .m_tlast(in_tlast), .m_tag(in_tag), .m_sa(in_sa), .m_gen(in_gen),
        .m_len(in_len),
        .s_tvalid(o_tvalid), .s_tready(o_tready), .s_tdata(o_tdata), .s_tlast(o_tlast), .s_tag(o_tag),
        .s_status(o_status), .s_seq(o_seq), .s_sa(o_sa), .s_gen(o_gen), .s_len(o_len), .s_flags(o_flags),
        .m_sa_tvalid(c_tvalid), .m_sa_tready(c_tready), .m_sa_tdata(c_tdata), .m_sa_tlast(c_tlast),
        .s_sa_tvalid(a_tvalid), .s_sa_tready(a_tready), .s_sa_tdata(a_tdata), .s_sa_tlast(a_tlast),
        .s_sa_status(a_status),
        .ar_valid(m_axi_arvalid), .ar_ready(m_axi_arready), .ar_id(arid), .ar_addr(m_axi_araddr),
        .ar_beats_m1(arbeats), .r_valid(m_axi_rvalid), .r_id(m_axi_rid[1:0]), .r_data(m_axi_rdata),
        .r_err(m_axi_rresp[1]), .r_last(m_axi_rlast),
        .aw_valid(m_axi_awvalid), .aw_ready(m_axi_awready), .aw_id(awid), .aw_addr(m_axi_awaddr),
        .aw_beats_m1(awbeats), .w_valid(m_axi_wvalid), .w_ready(m_axi_wready), .w_data(m_axi_wdata),
        .w_strb(m_axi_wstrb), .w_last(m_axi_wlast),
        .b_valid(m_axi_bvalid), .b_id(m_axi_bid[0]), .b_err(m_axi_bresp[1]),
        .outstanding(outstanding), .keys_clean(keys_clean), .keyed(keyed), .busy(ring_busy));

    assign m_axi_arid = {2'd0, arid};
    assign m_axi_arlen = {4'd0, arbeats};
    assign m_axi_arsize = SIZE;
    assign m_axi_arburst = 2'b01;
    // ordinary memory, bufferable: what must be ordered waits for its response; data, not secure, not privileged
    assign m_axi_arcache = 4'b0011;
    assign m_axi_arprot = 3'b010;
    assign m_axi_rready = 1'b1;
    assign m_axi_awid = {3'd0, awid};
    assign m_axi_awlen = {4'd0, awbeats};
    assign m_axi_awsize = SIZE;
    assign m_axi_awburst = 2'b01;
    assign m_axi_awcache = 4'b0011;
    assign m_axi_awprot = 3'b010;
    assign m_axi_bready = 1'b1;

    // ---- pipelines; the engine's own counters replace their completion pulses, since it has the last word
    wire        pipe_busy, enc_done, dec_done;
    wire [15:0] enc_done_status, enc_done_len, dec_done_status, dec_done_len;
    wire [KB-1:0] enc_tkeep, dec_tkeep;
    esp_pipe #(.LANES(LANES), .LOG2_SA(LOG2_SA), .LOG2_B(LOG2_B), .MAX_LEN(MAX_LEN)) pipe (
        .clk(clk), .rst(core_rst), .zeroize(zeroize), .zeroized(pipe_zeroized), .busy(pipe_busy), .now(now),
        .s_enc_tvalid(enc_tvalid), .s_enc_tready(enc_tready), .s_enc_tdata(in_tdata), .s_enc_tkeep(in_tkeep),
        .s_enc_tlast(in_tlast), .s_enc_tag(in_tag), .s_enc_sa(in_sa), .s_enc_gen(in_gen), .s_enc_len(in_len),
        .m_enc_tvalid(o_tvalid[0]), .m_enc_tready(o_tready[0]), .m_enc_tdata(o_tdata[W-1:0]),
        .m_enc_tkeep(enc_tkeep), .m_enc_tlast(o_tlast[0]), .m_enc_tag(o_tag[15:0]), .m_enc_status(o_status[15:0]),
        .m_enc_seq(o_seq[63:0]), .m_enc_sa(o_sa[31:0]), .m_enc_gen(o_gen[15:0]), .m_enc_len(o_len[15:0]),
        .m_enc_soft(o_flags[0]), .m_enc_lease_low(o_flags[1]),
        .s_dec_tvalid(dec_tvalid), .s_dec_tready(dec_tready), .s_dec_tdata(in_tdata), .s_dec_tkeep(in_tkeep),
        .s_dec_tlast(in_tlast), .s_dec_tag(in_tag), .s_dec_len(in_len),
        .m_dec_tvalid(o_tvalid[1]), .m_dec_tready(o_tready[1]), .m_dec_tdata(o_tdata[2*W-1:W]),
        .m_dec_tkeep(dec_tkeep), .m_dec_tlast(o_tlast[1]), .m_dec_tag(o_tag[31:16]),
        .m_dec_status(o_status[31:16]), .m_dec_seq(o_seq[127:64]), .m_dec_sa(o_sa[63:32]),
        .m_dec_gen(o_gen[31:16]), .m_dec_len(o_len[31:16]), .m_dec_soft(o_flags[3]), .m_dec_src_changed(o_flags[5]),
        .s_sa_tvalid(c_tvalid), .s_sa_tready(c_tready), .s_sa_tdata(c_tdata), .s_sa_tlast(c_tlast),
        .m_sa_tvalid(a_tvalid), .m_sa_tready(a_tready), .m_sa_tdata(a_tdata), .m_sa_tlast(a_tlast),
        .m_sa_status(a_status),
        .enc_done(enc_done), .enc_done_status(enc_done_status), .enc_done_len(enc_done_len),
        .dec_done(dec_done), .dec_done_status(dec_done_status), .dec_done_len(dec_done_len),
        .enc_beat(enc_beat), .dec_beat(dec_beat));
    assign o_flags[2] = 1'b0;
    assign o_flags[4] = 1'b0;

    // Packets inside the pipelines, from first beat in to last beat out.
    reg       enc_mid, dec_mid;
    reg [9:0] travelling;
    wire      in_first = (enc_tvalid && enc_tready && !enc_mid) || (dec_tvalid && dec_tready && !dec_mid);
    wire [1:0] outs = o_tvalid & o_tready & o_tlast;
    assign pipe_packets = travelling != 10'd0;
    always @(posedge clk) begin
        if (enc_tvalid && enc_tready)
            enc_mid <= !in_tlast;
        if (dec_tvalid && dec_tready)
            dec_mid <= !in_tlast;
        if (in_first || outs != 2'd0)
            travelling <= travelling + {9'd0, in_first} - {9'd0, outs[0]} - {9'd0, outs[1]};
        if (core_rst) begin
            enc_mid <= 1'b0;
            dec_mid <= 1'b0;
            travelling <= 10'd0;
        end
    end

    // ---- clock gate: FIFO latencies and pulses are over a few cycles after the last sign of work
    wire      working = rst || axil_busy || reset_busy || ring_busy || pipe_busy;
    reg [3:0] linger;
    assign busy = working || linger != 4'd0;
    always @(posedge clk)
        if (working)
            linger <= 4'd15;
        else if (linger != 4'd0)
            linger <= linger - 4'd1;

    wire unused = &{1'b0, epoch[31:8], m_axi_rid[3:2], m_axi_bid[3:1], m_axi_rresp[0], m_axi_bresp[0], enc_done,
                    dec_done, enc_done_status, enc_done_len, dec_done_status, dec_done_len, enc_tkeep, dec_tkeep,
                    1'b0};
endmodule

`default_nettype wire
