// SPDX-License-Identifier: Apache-2.0
// Key-agile streaming AES-GCM (NIST SP 800-38D; FIPS 197) for 96-bit nonces, 128- and 256-bit keys and one
// block of additional data at most. Takes beats of 16*LANES bytes and never stalls; packets of different keys follow
// each other. E(K,J0) goes through the last lane: with the packet's last beat where that leaves the lane free, else in
// the cycle behind it. An ESP packet is at least a beat longer outside than its ciphertext whenever that fills its
// beats, so this costs no cycle at either bus. Additional data and length take no beat.
//
// Latency: out_* 17 cycles after in_*, tag_* 5 cycles after the packet's last out beat; initiation interval 1
// beat. Counted as clock edges: a beat sampled at edge t is on out_* from edge t+16, to be sampled at edge
// t+17.
// Byte order: byte n of any bus is in bits 8n+7:8n. Inside, GHASH works on big-endian numbers (ghash_fn.vh).
//
// Contract, inputs: a packet is one in_sop .. in_eop run (cycles without in_valid may lie inside it, beats of
// other packets may not); in_sa, in_nonce, in_aad, in_aad_len and in_meta are valid on each of its beats;
// in_bytes is 16*LANES on all but the last, where it is 0..16*LANES, and 0 only on an empty message; a last beat of
// more than 16*(LANES-1) bytes is followed by a cycle without in_valid; the
// slot's key_done has been seen and neither clr nor a new key for the slot is given while it has packets
// inside; messages below 2^32 bytes.
// Contract, outputs: exactly one out beat for each in beat and one tag for each in_eop, in order, at fixed
// latency; bytes of out_data from out_bytes on are zero. `zeroize` drops the packets inside (no out beat, no
// tag for them) and clears every RAM and register that held a key or data; beats given before zeroize_done
// are dropped too. `rst` drops packets, and leaves keys where they are.
`default_nettype none

module gcm_core #(
    // blocks in a beat: 1, 2 or 4
    parameter LANES = 1,
    // log2 of the number of key slots
    parameter LOG2_SA = 10,
    // 1: GHASH over the output (encryption), 0: over the input (decryption)
    parameter ENC = 1,
    // width of the user's side-band word
    parameter META_W = 1
) (
    input  wire                 clk,
    input  wire                 rst,

    input  wire                 key_valid,
    output wire                 key_ready,
    input  wire [LOG2_SA-1:0]   key_sa,
    input  wire [255:0]         key,
    input  wire                 key_256,
    output wire                 key_done,
    input  wire                 clr_valid,
    output wire                 clr_ready,
    input  wire [LOG2_SA-1:0]   clr_sa,
    output wire                 clr_done,
    input  wire                 zeroize,
    output wire                 zeroize_done,

    input  wire                 in_valid,
    input  wire                 in_sop,
    input  wire                 in_eop,
    input  wire [LOG2_SA-1:0]   in_sa,
    input  wire [95:0]          in_nonce,
    input  wire [127:0]         in_aad,
    input  wire [4:0]           in_aad_len,
    input  wire [128*LANES-1:0] in_data,
    input  wire [6:0]           in_bytes,
    input  wire [META_W-1:0]    in_meta,

    output wire                 out_valid,
    output wire                 out_sop,
    output wire                 out_eop,
    output wire [128*LANES-1:0] out_data,
    output wire [6:0]           out_bytes,
    output wire [META_W-1:0]    out_meta,

    output wire                 tag_valid,
    output wire [127:0]         tag,
    output wire [META_W-1:0]    tag_meta
);
    `include "ghash_fn.vh"

    // the tail needs H^2 even where a beat has one block
    localparam POWERS = (LANES < 2) ? 2 : LANES;
    localparam W = 128 * LANES;

    // A width out of range names a module that does not exist: no tool goes on.
    generate
        if (LANES != 1 && LANES != 2 && LANES != 4) begin : refused
            LANES_is_1_2_or_4 stop ();
        end
    endgenerate

    // ---- keys: write side in the background, one RAM slice for each stage ---------------------------------
    wire scrub;
    wire wipe;
    wire [14:0] wr_round;
    wire [POWERS-1:0] wr_power;
    wire wr_mode;
    wire [LOG2_SA-1:0] wr_addr;
    wire [127:0] wr_data;
    wire wr_is256;

    gcm_key #(.LOG2_SA(LOG2_SA), .POWERS(POWERS)) keys (
        .clk(clk), .rst(rst),
        .key_valid(key_valid), .key_ready(key_ready), .key_sa(key_sa), .key(key), .key_256(key_256),
        .key_done(key_done),
        .clr_valid(clr_valid), .clr_ready(clr_ready), .clr_sa(clr_sa), .clr_done(clr_done),
        .zeroize(zeroize), .zeroize_done(zeroize_done),
        .scrub(scrub), .wipe(wipe), .wr_round(wr_round), .wr_power(wr_power), .wr_mode(wr_mode),
        .wr_addr(wr_addr), .wr_data(wr_data), .wr_is256(wr_is256)
    );

    // ---- valid bits: bit i belongs to the beat i+1 edges after it was sampled -----------------------------
    reg [21:0] vp;
    reg [21:0] ep;
    reg [17:0] sp;
    reg [LOG2_SA-1:0] sa_p [0:16];
    // the same for J0 in the last lane, with its packet's last beat or behind it
    reg [15:0] jp;
    reg j0_due;
    localparam [31:0] FREE_WIDE = 16 * (LANES - 1);
    localparam [6:0] FREE = FREE_WIDE[6:0];
    wire go = in_valid && !wipe && !zeroize;
    wire j0_alone = j0_due && !go;
    wire drop = rst || wipe || zeroize;
    integer s;

    always @(posedge clk) begin
        vp <= drop ? 22'd0 : {vp[20:0], go};
        ep <= drop ? 22'd0 : {ep[20:0], go && in_eop};
        sp <= {sp[16:0], in_sop};
        jp <= drop ? 16'd0 : {jp[14:0], j0_alone || (go && in_eop && in_bytes <= FREE)};
        j0_due <= !drop && go && in_eop && in_bytes > FREE;
        if (go)
            sa_p[0] <= in_sa;
        if (vp != 22'd0)
            for (s = 1; s < 17; s = s + 1)
                sa_p[s] <= sa_p[s-1];
    end

    // ---- round keys, read one stage ahead -----------------------------------------------------------------
    wire [15*128-1:0] round_key;
    wire mode_first;
    reg [3:0] mode_later;
    wire [4:0] is256 = {mode_later, mode_first};

    key_ram #(.W(1), .LOG2_D(LOG2_SA)) mode_ram (
        .clk(clk), .wen(wr_mode), .waddr(wr_addr), .wdata(wr_is256),
        .ren(go), .scrub(1'b0), .raddr(in_sa), .rdata(mode_first)
    );
    always @(posedge clk)
        mode_later <= is256[3:0];

    genvar i;
    generate
        for (i = 0; i < 15; i = i + 1) begin : slice
            wire ren;
            wire [LOG2_SA-1:0] raddr;
            if (i == 0) begin : head
                assign ren = go || j0_alone;
                assign raddr = go ? in_sa : sa_p[0];
            end else begin : body
                assign ren = vp[i-1] || jp[i-1];
                assign raddr = sa_p[i-1];
            end
            key_ram #(.W(128), .LOG2_D(LOG2_SA)) ram (
                .clk(clk), .wen(wr_round[i]), .waddr(wr_addr), .wdata(wr_data),
                .ren(ren), .scrub(scrub), .raddr(raddr), .rdata(round_key[i*128 +: 128])
            );
        end
    endgenerate

    // ---- counter blocks and the lanes ---------------------------------------------------------------------
    reg [95:0] nonce;
    reg [31:0] ctr;
    reg [31:0] ctr_after;
    wire [31:0] ctr_now = in_sop ? 32'd2 : ctr_after;

    always @(posedge clk) begin
        if (go) begin
            nonce <= in_nonce;
            ctr <= ctr_now;
            ctr_after <= ctr_now + LANES[31:0];
        end else if (scrub && !j0_alone) begin
            nonce <= 96'd0;
        end
    end

    wire [W-1:0] stream;
    generate
        for (i = 0; i < LANES; i = i + 1) begin : lane
            localparam [31:0] OFFSET = i;
            wire [31:0] c;
            wire [14:0] en;
            if (i == LANES - 1) begin : last
                assign c = jp[0] ? 32'd1 : ctr + OFFSET;
                assign en = vp[14:0] | jp[14:0];
            end else begin : other
                assign c = ctr + OFFSET;
                assign en = vp[14:0];
            end
            aes_lane aes (
                .clk(clk), .scrub(scrub), .en(en), .is256(is256),
                .d({c[7:0], c[15:8], c[23:16], c[31:24], nonce}), .k(round_key), .q(stream[i*128 +: 128])
            );
        end
    endgenerate

    // E(K,J0) waits for the finished hash; from behind the last beat it takes that beat's place
    wire [127:0] ej0;
    delay_ram #(.W(128), .LOG2_D(3), .DELAY(4)) j0_delay (
        .clk(clk), .rst(rst), .wipe(wipe), .wen(jp[15]), .late(jp[15] && !vp[15]), .d(stream[W-1 -: 128]),
        .ren(vp[19] && ep[19]), .q(ej0)
    );

    // ---- the data waits beside the lanes ------------------------------------------------------------------
    wire [W-1:0] data15;
    wire [6:0] bytes15;
    wire [META_W-1:0] meta15;
    delay_ram #(.W(W + 7 + META_W), .LOG2_D(4), .DELAY(15)) data_delay (
        .clk(clk), .rst(rst), .wipe(wipe), .wen(go), .late(1'b0), .d({in_data, in_bytes, in_meta}),
        .ren(vp[14]), .q({data15, bytes15, meta15})
    );

    wire [127:0] aad18;
    delay_ram #(.W(128), .LOG2_D(5), .DELAY(18)) aad_delay (
        .clk(clk), .rst(rst), .wipe(wipe), .wen(go && in_sop), .late(1'b0), .d(in_aad), .ren(vp[17]), .q(aad18)
    );

    reg [31:0] count;
    wire [31:0] count_now = (in_sop ? 32'd0 : count) + {25'd0, in_bytes};
    wire [4:0] aad_len19;
    wire [31:0] count19;
    wire [META_W-1:0] meta19;
    always @(posedge clk)
        if (go)
            count <= count_now;
    delay_ram #(.W(META_W + 5 + 32), .LOG2_D(5), .DELAY(19)) len_delay (
        .clk(clk), .rst(rst), .wipe(wipe), .wen(go && in_eop), .late(1'b0), .d({in_meta, in_aad_len, count_now}),
        .ren(vp[18] && ep[18]), .q({meta19, aad_len19, count19})
    );

    // ---- XOR and mask -------------------------------------------------------------------------------------
    // bytes of lane l that are valid in a beat of n bytes, as a mask
    function [127:0] lane_mask;
        input [6:0] n;
        input [6:0] first;
        reg [6:0] rest;
        begin
            rest = n - first;
            if (n <= first)
                lane_mask = 128'd0;
            else if (rest >= 7'd16)
                lane_mask = {128{1'b1}};
            else
                lane_mask = ~({128{1'b1}} << {rest[3:0], 3'd0});
        end
    endfunction

    reg [W-1:0] x_data;
    reg [6:0] x_bytes;
    reg [META_W-1:0] x_meta;
    wire [W-1:0] x_hash;
    wire [LANES*128-1:0] mask;

    generate
        for (i = 0; i < LANES; i = i + 1) begin : masks
            localparam [6:0] FIRST = 16 * i;
            assign mask[i*128 +: 128] = ep[15] ? lane_mask(bytes15, FIRST) : {128{1'b1}};
        end
        if (ENC != 0) begin : hash_output
            assign x_hash = x_data;
        end else begin : hash_input
            reg [W-1:0] x_in;
            always @(posedge clk) begin
                if (vp[15])
                    x_in <= data15 & mask;
                else if (scrub)
                    x_in <= {W{1'b0}};
            end
            assign x_hash = x_in;
        end
    endgenerate

    always @(posedge clk) begin
        if (vp[15]) begin
            x_data <= (data15 ^ stream) & mask;
            x_bytes <= bytes15;
            x_meta <= meta15;
        end else if (scrub) begin
            x_data <= {W{1'b0}};
        end
    end

    assign out_valid = vp[16];
    assign out_sop = sp[16];
    assign out_eop = ep[16];
    assign out_data = x_data;
    assign out_bytes = x_bytes;
    assign out_meta = x_meta;

    // ---- GHASH: powers, right-aligned last beat, lane products, accumulator -------------------------------
    wire [POWERS*128-1:0] power;
    generate
        for (i = 0; i < POWERS; i = i + 1) begin : powers
            key_ram #(.W(128), .LOG2_D(LOG2_SA)) ram (
                .clk(clk), .wen(wr_power[i]), .waddr(wr_addr), .wdata(wr_data),
                .ren(vp[16]), .scrub(scrub), .raddr(sa_p[16]), .rdata(power[i*128 +: 128])
            );
        end
    endgenerate

    // blocks in the beat; the block of lane l moves up by LANES - blocks
    wire [2:0] x_blocks = 3'd0 + x_bytes[6:4] + {2'd0, |x_bytes[3:0]};
    reg [2:0] g_blocks;
    reg [W-1:0] g_data;
    wire [W-1:0] aligned;

    generate
        if (LANES == 1) begin : align1
            assign aligned = x_hash;
        end else if (LANES == 2) begin : align2
            assign aligned = (x_blocks == 3'd2) ? x_hash : {x_hash[127:0], 128'd0};
        end else begin : align4
            wire [W-1:0] by2 = (x_blocks == 3'd1 || x_blocks == 3'd2) ? {x_hash[W/2-1:0],
                {W/2{1'b0}}} : x_hash;
            assign aligned = x_blocks[0] ? {by2[W-129:0], 128'd0} : by2;
        end
    endgenerate

    always @(posedge clk) begin
        if (vp[16]) begin
            g_blocks <= x_blocks;
            g_data <= aligned;
        end else if (scrub) begin
            g_data <= {W{1'b0}};
        end
    end

    // H^blocks for the accumulator; H^0 is the number one
    reg [127:0] h_blocks;
    reg [127:0] last_block;
    reg [127:0] h1_18;
    reg [127:0] h2_18;
    reg [127:0] h1_19;
    reg [127:0] h2_19;
    reg [127:0] h_select;
    integer p;
    always @* begin
        h_select = {1'b1, 127'd0};
        for (p = 1; p <= LANES; p = p + 1)
            if (g_blocks == p[2:0])
                h_select = power[(p-1)*128 +: 128];
    end

    always @(posedge clk) begin
        if (vp[17]) begin
            h_blocks <= h_select;
            last_block <= gf_swap(g_data[W-1 -: 128]);
        end else if (scrub) begin
            h_blocks <= 128'd0;
            last_block <= 128'd0;
        end
        if (vp[17] && ep[17]) begin
            h1_18 <= power[127:0];
            h2_18 <= power[255:128];
        end else if (scrub) begin
            h1_18 <= 128'd0;
            h2_18 <= 128'd0;
        end
        if (vp[18] && ep[18]) begin
            h1_19 <= h1_18;
            h2_19 <= h2_18;
        end else if (scrub) begin
            h1_19 <= 128'd0;
            h2_19 <= 128'd0;
        end
    end

    // products of all lanes but the last, summed before the one reduction
    wire [254:0] lane_sum;
    generate
        for (i = 1; i < LANES; i = i + 1) begin : products
            wire [254:0] product;
            ghash_mul mul (
                .clk(clk), .en(vp[17]), .scrub(scrub), .a(gf_swap(g_data[(i-1)*128 +: 128])),
                .b(power[(LANES-1-i)*128 +: 128]), .p(product)
            );
        end
        if (LANES == 1) begin : sum1
            assign lane_sum = 255'd0;
        end else if (LANES == 2) begin : sum2
            assign lane_sum = products[1].product;
        end else if (LANES == 4) begin : sum4
            assign lane_sum = products[1].product ^ products[2].product ^ products[3].product;
        end
    endgenerate

    reg first18;
    always @(posedge clk)
        first18 <= sp[17];

    wire [127:0] z;
    ghash_acc acc (
        .clk(clk), .en(vp[18]), .scrub(wipe), .first(first18), .start(gf_swap(aad18)), .h(h_blocks),
        .lanes(lane_sum), .last(last_block), .z(z)
    );

    // ---- tail: Z * H^2 + LEN * H + E(K,J0) ----------------------------------------------------------------
    wire [254:0] tail_z;
    wire [254:0] tail_len;
    reg [META_W-1:0] meta20;
    reg [META_W-1:0] meta21;
    reg [127:0] tag_reg;

    ghash_mul mul_z (.clk(clk), .en(vp[19] && ep[19]), .scrub(scrub), .a(z), .b(h2_19), .p(tail_z));
    ghash_len mul_len (.clk(clk), .en(vp[19] && ep[19]), .scrub(scrub), .aad(aad_len19), .text(count19), .h(h1_19),
                       .p(tail_len));

    always @(posedge clk) begin
        if (vp[19] && ep[19])
            meta20 <= meta19;
        if (vp[20] && ep[20]) begin
            tag_reg <= gf_swap(gf_reduce(tail_z ^ tail_len)) ^ ej0;
            meta21 <= meta20;
        end else if (wipe) begin
            tag_reg <= 128'd0;
        end
    end

    assign tag_valid = vp[21] && ep[21];
    assign tag = tag_reg;
    assign tag_meta = meta21;
endmodule

`default_nettype wire
