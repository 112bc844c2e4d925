// SPDX-License-Identifier: Apache-2.0
// rtl/esp/esp_tx_build.v joins job N with packet N and with no other, whatever their lengths are: a packet that ends before its job's
// length is filled with zeros, never with its successor, and one that is longer is cut. Packets are of two kinds here, one of which
// has beats of zeros alone and a last one that is not bad: where its job's beats go to the core there are zeros up to the job's
// length. Of all packets: behind the length come 1, 2, 3, the padding's length and the next header (RFC 4303 section 2.4), beats say
// how many octets they have, and the end that is told, and whether the packet was bad, is its own.
//
// Contract of the inputs: a job stands still until it is taken and has the padded length of its length; packets and jobs come in any
// cycle, before or after each other.
module build_f (
    input wire         clk,
    input wire         rst,
    input wire         hold,
    input wire         forget,
    input wire         credit,
    input wire         job_valid,
    input wire         job_drop,
    input wire         job_sa,
    input wire [31:0]  job_spi,
    input wire [63:0]  job_seq,
    input wire         job_esn,
    input wire [15:0]  job_len,
    input wire [15:0]  job_ptlen,
    input wire [7:0]   job_next,
    input wire         data_valid,
    input wire [127:0] data,
    input wire         data_last,
    input wire         data_bad,
    input wire         data_mine,
    input wire [31:0]  salt
);
    wire job_ready, data_ready, end_valid, end_bad, in_valid, in_sop, in_eop;
    wire [127:0] in_data;
    wire [6:0] in_bytes;
    esp_tx_build #(.LANES(1), .LOG2_SA(1)) dut (
        .clk(clk), .rst(rst), .hold(hold), .forget(forget), .credit(credit), .job_valid(job_valid), .job_ready(job_ready),
        .job_drop(job_drop), .job_sa(job_sa), .job_spi(job_spi), .job_seq(job_seq), .job_esn(job_esn), .job_len(job_len),
        .job_ptlen(job_ptlen), .job_next(job_next), .data_valid(data_valid), .data_ready(data_ready), .data(data),
        .data_last(data_last), .data_bad(data_bad), .end_valid(end_valid), .end_bad(end_bad), .salt(salt), .in_valid(in_valid),
        .in_sop(in_sop), .in_eop(in_eop), .in_data(in_data), .in_bytes(in_bytes)
    );
    (* hierconn *) wire \dut.mid , \dut.got_last , \dut.got_bad , \dut.skip , \dut.more_r , \dut.eop_r ;
    (* hierconn *) wire [17:0] \dut.left_r , \dut.left_data_r ;

    reg begun = 0, waits = 0;
    wire [138:0] job = {job_drop, job_sa, job_spi, job_seq, job_esn, job_len, job_ptlen, job_next};
    reg [138:0] was_job;
    // packets that have been taken to their last beat, jobs that have been taken, ends that have been told: their numbers modulo 4
    reg [1:0] packets = 0, jobs = 0, ends = 0;
    wire [1:0] ahead = packets - jobs;
    wire [1:0] told = ends + {1'b0, end_valid};
    // within a packet, and its kind; the kind of the last one that was taken whole
    reg inside = 0, mine = 0, whole_mine = 0;
    wire take = data_valid && data_ready;
    // the cycle before: a beat was taken; of which packet; for which job
    reg took = 0, took_mine;
    reg [1:0] took_packet, took_job;
    reg [15:0] len, ptlen;
    reg [7:0] next;
    // of the packet that goes to the core: its kind; octets that went before this beat
    reg kept_mine = 0;
    reg [17:0] kept = 0;
    wire core_mine = in_sop ? took_mine : kept_mine;
    wire [17:0] at = in_sop ? 18'd0 : kept;
    wire [17:0] done = in_valid ? at + 18'd16 : kept;
    always @(posedge clk) begin
        begun <= 1;
        waits <= job_valid && !job_ready && !rst;
        was_job <= job;
        took <= take;
        {took_mine, took_packet, took_job} <= {data_mine, packets, jobs};
        {len, ptlen, next} <= {job_len, job_ptlen, job_next};
        if (take) begin
            inside <= !data_last;
            mine <= data_mine;
            if (data_last)
                {packets, whole_mine} <= {packets + 2'd1, data_mine};
        end
        if (job_valid && job_ready)
            jobs <= jobs + 2'd1;
        ends <= told;
        if (in_valid)
            kept_mine <= core_mine;
        kept <= done;
        if (rst) begin
            {inside, took} <= 2'b00;
            {packets, jobs, ends} <= 6'd0;
        end
    end

    // octets of a beat: how far each is behind the data's end, and what it is there
    wire [15:0] past, right, data_octet;
    wire [1:0] pad = ptlen[1:0] - len[1:0] - 2'd2;
    genvar n;
    generate
        for (n = 0; n < 16; n = n + 1) begin : octets
            wire [17:0] here = at + n;
            wire [17:0] behind = here - {2'd0, len};
            assign data_octet[n] = here < {2'd0, len};
            assign past[n] = here >= {2'd0, ptlen};
            assign right[n] = data_octet[n] ? in_data[8*n +: 8] == 8'd0
                : in_data[8*n +: 8] == (behind < {16'd0, pad} ? behind[7:0] + 8'd1 : behind == {16'd0, pad} ? {6'd0, pad} : next);
        end
    endgenerate

    always @* begin
        assume (rst == !begun);
        assume (!waits || (job_valid && job == was_job));
        assume (job_ptlen == ((job_len + 16'd5) & 16'hfffc) && job_len < 16'hff00);
        if (data_valid) begin
            assume (!inside || data_mine == mine);
            assume (!data_mine || (data == 128'd0 && !data_bad));
            assume (data_mine || !data_last || data_bad);
        end
    end

    always @* if (begun) begin
        if (in_valid) begin
            if (in_sop)
                a_first: assert (took && took_packet == took_job);
            if (took)
                a_packet: assert (took_packet == took_job);
            if (core_mine)
                a_own: assert (&(right | ~data_octet));
            a_trailer: assert (&(right | data_octet | past));
            a_end: assert (in_eop == (at + 18'd16 >= {2'd0, ptlen}));
            a_octets: assert ({11'd0, in_bytes} == (in_eop ? {2'd0, ptlen} - at : 18'd16));
        end
        // an end is told once packet and job are through, of each
        a_told: assert (told == (ahead == 2'd1 ? jobs : packets));
        if (end_valid)
            a_bad: assert (end_bad == !whole_mine);
`ifdef LINK
        a_ahead: assert (ahead == (\dut.got_last ? 2'd1 : \dut.skip ? 2'd3 : 2'd0) && !(\dut.got_last && \dut.skip ));
        if (\dut.skip )
            a_rest: assert (!\dut.mid );
        if (\dut.got_last )
            a_got: assert (\dut.mid && !inside && \dut.got_bad == !whole_mine);
        if (inside && !\dut.mid && !\dut.skip )
            a_dropped: assert (waits && job_drop);
        if (\dut.mid ) begin
            a_mid: assert (waits && !job_drop && done >= 18'd16 && done < {2'd0, job_ptlen});
            a_left: assert (\dut.left_r == {2'd0, job_ptlen} - done && \dut.left_data_r == {2'd0, job_len} - done);
            a_more: assert (\dut.more_r == (done < {2'd0, job_len}) && \dut.eop_r == (done + 18'd16 >= {2'd0, job_ptlen}));
            a_kind: assert ((in_valid ? core_mine : kept_mine) == (\dut.got_last ? whole_mine : mine) && (\dut.got_last || inside));
        end
`endif
        c_early: cover (in_valid && in_eop && core_mine && !took && len > 16'd20 && ahead == 2'd0);
        c_late: cover (\dut.skip && take && data_last);
        c_next: cover (in_valid && in_sop && !core_mine && took && told == 2'd2);
        c_trailer_alone: cover (in_valid && in_eop && at == {2'd0, len});
        c_dropped: cover (job_valid && job_ready && job_drop && jobs == 2'd1);
    end
endmodule
