// SPDX-License-Identifier: Apache-2.0
// Decapsulation, slot unit: works one operation of the SA manager at a time (WRITE, DRAIN, CLEAR, QUERY, ENDPOINT) on
// the inbound slots, beside the packets. It writes the SPI table, the configuration, the sequence state and,
// through the AES-GCM core's key side, the keys; and it sweeps all of them after reset and zeroise.
//
// WRITE takes about 45 + 33 * LANES cycles, others about 20 and as long as packets of the slot are inside. A
// slot counts as drained when the last packet of it that was looked up before the mark has left (an order
// list of the packets inside says which that is), so other SAs' packets hold it up only as far as they are in
// front. CLEAR takes the SPI from the table before it waits: what the mark has refused counts for the slot as well, and none
// of it may come to its verdict when the slot has its next SA.
// Contract: slot_done is a pulse with the result beside it; an operation cut off by zeroise or reset has
// none. `zeroized` is low from zeroise or reset until every slot is invalid and every RAM that holds keys,
// salts or addresses is zero. WRITE leaves nothing behind when it is refused.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_rx_slot #(
    parameter LOG2_SA = 10,
    // log2 of the places in each of the four ways of the SPI table
    parameter LOG2_B = LOG2_SA + 1,
    parameter WAY_W = 65 + LOG2_SA,
    parameter CFG_W = 95
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 zeroize,
    output wire                 zeroized,
    output wire                 wipe,
    output reg  [7:0]           epoch,

    input  wire                 slot_valid,
    output wire                 slot_ready,
    input  wire [2:0]           slot_op,
    input  wire [LOG2_SA-1:0]   slot_index,
    input  wire [15:0]          slot_gen,
    /* verilator lint_off UNUSEDSIGNAL */ // much of the blob is for the other direction, or reserved
    input  wire [2047:0]        slot_blob,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire                 seed_valid,
    input  wire [3:0]           seed_index,
    input  wire [63:0]          seed_word,
    output reg                  slot_done,
    output reg  [15:0]          slot_status,
    output reg  [63:0]          slot_last_seq,
    output reg  [63:0]          slot_packets,
    output reg  [63:0]          slot_bytes,
    output reg  [63:0]          slot_drops,

    // packets inside: in at the look-up, out at the last beat
    input  wire                 pkt_in,
    input  wire                 pkt_in_uses,
    input  wire [LOG2_SA-1:0]   pkt_in_slot,
    input  wire                 pkt_out,
    // a packet's header has been read, and gets the epoch of now
    input  wire                 pkt_new,

    // SPI table, configuration, marks
    output wire                 b_en,
    output wire [3:0]           b_we,
    output wire [4*LOG2_B-1:0]  b_addr,
    output wire [WAY_W-1:0]     b_wdata,
    input  wire [4*WAY_W-1:0]   b_rdata,
    output wire                 cfg_we,
    output wire                 end_we,
    output wire [LOG2_SA-1:0]   cfg_addr,
    output wire [CFG_W-1:0]     cfg_wdata,
    output wire [31:0]          salt_wdata,
    output wire                 drain_we,
    output wire                 drain_wdata,

    // sequence state and counters
    output wire                 c_req,
    input  wire                 c_grant,
    output wire                 c_write_slot,
    output wire                 c_write_word,
    output wire [LOG2_SA-1:0]   c_slot,
    output wire [4:0]           c_word,
    output wire [116:0]         c_word_data,
    output wire [63:0]          c_top,
    output wire [255:0]         c_limits,
    input  wire [63:0]          c_last_seq,
    input  wire [63:0]          c_packets,
    input  wire [63:0]          c_bytes,
    input  wire [63:0]          c_drops,

    // the core's key side
    output wire                 key_valid,
    input  wire                 key_ready,
    output wire [255:0]         key,
    output wire                 key_256,
    input  wire                 key_done,
    output wire                 clr_valid,
    input  wire                 clr_ready,
    input  wire                 clr_done,
    output reg                  gcm_zeroize,
    input  wire                 gcm_zeroized
);
    localparam [2:0] OP_WRITE = 3'd0, OP_DRAIN = 3'd1, OP_CLEAR = 3'd2, OP_QUERY = 3'd4, OP_ENDPOINT = 3'd5;
    localparam [4:0] SWEEP = 5'd0, IDLE = 5'd1, LOOK = 5'd2, CHECK = 5'd3, KEY = 5'd4, WINDOW = 5'd5,
        STATE = 5'd6,
                     KEY_WAIT = 5'd7, INSERT = 5'd8, MARK = 5'd9, SETTLE = 5'd10, SCAN = 5'd11, LEAVE = 5'd12,
                     COUNT = 5'd13, COUNTED = 5'd14, FORGET = 5'd15, FORGOTTEN = 5'd16, BUCKET = 5'd17,
                     UNLIST = 5'd26, REMOVE = 5'd18, DONE = 5'd19, HASH = 5'd20, END_HASH = 5'd21, END_READ = 5'd22,
                     END_CHECK = 5'd23, END_WRITE = 5'd24, END_TAKE = 5'd25,
                     COUNT_READ = 5'd27, END_WAIT = 5'd28, END_PASS = 5'd29;

    // ---- the operation and its blob -----------------------------------------------------------------------
    reg [4:0] state;
    reg [2:0] op;
    wire [31:0] spi = slot_blob[`ESPC_SA_BLOB_SPI_LSB +: 32];
    wire [31:0] dst = slot_blob[`ESPC_SA_BLOB_DST_LSB +: 32];
    wire [63:0] top = slot_blob[`ESPC_SA_BLOB_SEQ_LSB +: 64];
    /* verilator lint_off UNUSEDSIGNAL */ // some flags are outbound
    wire [31:0] flags = slot_blob[`ESPC_SA_BLOB_FLAGS_LSB +: 32];
    /* verilator lint_on UNUSEDSIGNAL */
    assign key = slot_blob[`ESPC_SA_BLOB_KEY_LSB +: 256];
    assign key_256 = slot_blob[`ESPC_SA_BLOB_ALG_LSB +: 32] == `ESPC_SA_ALG_AES256_GCM16;
    assign c_top = top;
    // as esp_rx_commit compares with them: one less than the limit, but for the hard one of bytes; all ones where there is none
    wire [63:0] hard_bytes = slot_blob[`ESPC_SA_BLOB_HARD_BYTES_LSB +: 64];
    assign c_limits = {slot_blob[`ESPC_SA_BLOB_HARD_PACKETS_LSB +: 64] - 64'd1,
                       slot_blob[`ESPC_SA_BLOB_SOFT_PACKETS_LSB +: 64] - 64'd1,
                       (hard_bytes == 64'd0) ? {64{1'b1}} : hard_bytes,
                       slot_blob[`ESPC_SA_BLOB_SOFT_BYTES_LSB +: 64] - 64'd1};
    assign slot_ready = state == IDLE && !zeroize;

    // ---- what is known of each slot -----------------------------------------------------------------------
    localparam OWN_W = 17 + 32;
    // the sweep also outlasts every store of packets
    localparam SWEEP_BITS = (LOG2_B < 11) ? 11 : LOG2_B;
    reg [SWEEP_BITS-1:0] sweep;
    // state == SWEEP
    reg sweeping;
    wire own_we = sweeping || state == INSERT || state == REMOVE;
    wire [OWN_W-1:0] own;
    wire own_valid;
    wire [15:0] own_gen;
    wire [31:0] own_spi;
    assign {own_spi, own_gen, own_valid} = own;
    key_ram #(.W(OWN_W), .LOG2_D(LOG2_SA)) own_ram (
        .clk(clk), .wen(own_we), .waddr(sweeping ? sweep[LOG2_SA-1:0] : slot_index),
        .wdata(state == INSERT ? {spi, slot_gen, 1'b1} : {OWN_W{1'b0}}),
        .ren(state == LOOK), .scrub(1'b0), .raddr(slot_index), .rdata(own)
    );

    // ---- SPI table ----------------------------------------------------------------------------------------
    wire [4*LOG2_B-1:0] places;
    wire [3:0] taken, same, mine;
    reg [3:0] way;
    reg [3:0] free_way;
    // the SPI whose places are wanted; the blob of an SA whose ends change has none
    reg [31:0] hash_spi;
    genvar w;
    esp_rx_hash #(.LOG2_B(LOG2_B)) hash (
        .clk(clk), .en(state == HASH || state == MARK || state == END_HASH), .spi(hash_spi), .place(places)
    );
    generate
        for (w = 0; w < 4; w = w + 1) begin : ways
            assign taken[w] = b_rdata[w*WAY_W];
            assign same[w] = taken[w] && b_rdata[w*WAY_W + 1 +: 64] == {dst, hash_spi};
            assign mine[w] = taken[w] && b_rdata[w*WAY_W + 65 +: LOG2_SA] == slot_index;
        end
    endgenerate
    always @* begin
        casez (taken)
            4'b???0: free_way = 4'b0001;
            4'b??01: free_way = 4'b0010;
            4'b?011: free_way = 4'b0100;
            default: free_way = 4'b1000;
        endcase
    end
    assign b_en = sweeping || state == LOOK || state == INSERT || state == BUCKET || state == UNLIST
                  || state == END_READ || state == END_WRITE;
    assign b_we = sweeping ? 4'b1111 : (state == INSERT) ? way : (state == UNLIST || state == END_WRITE) ? mine : 4'b0000;
    assign b_addr = sweeping ? {4{sweep[LOG2_B-1:0]}} : places;
    assign b_wdata = (state == INSERT || state == END_WRITE) ? {slot_index, dst, hash_spi, 1'b1} : {WAY_W{1'b0}};

    // ---- configuration as esp_rx_lookup reads it ----------------------------------------------------------
    // without a port of its own the SA takes encapsulated packets at that of RFC 3948
    wire [15:0] blob_dport = slot_blob[`ESPC_SA_BLOB_DPORT_LSB +: 16];
    wire [15:0] dport = (blob_dport == 16'd0) ? 16'd4500 : blob_dport;
    assign cfg_we = sweeping || state == STATE || state == REMOVE;
    // a look-up reads it three cycles after the table
    assign end_we = cfg_we || state == END_TAKE;
    assign cfg_addr = sweeping ? sweep[LOG2_SA-1:0] : slot_index;
    assign cfg_wdata = (state != STATE && state != END_TAKE) ? {CFG_W{1'b0}} : {
        slot_blob[`ESPC_SA_BLOB_MODE_LSB +: 8] == `ESPC_SA_MODE_TRANSPORT, flags[`ESPC_SA_BLOB_FLAGS_ESN_LSB],
        flags[`ESPC_SA_BLOB_FLAGS_NO_ECN_LSB], flags[`ESPC_SA_BLOB_FLAGS_DSCP_DECAP_LSB], slot_gen,
        slot_blob[`ESPC_SA_BLOB_WINDOW_LSB +: 11],
        slot_blob[`ESPC_SA_BLOB_SPORT_LSB +: 16], dport,
        slot_blob[`ESPC_SA_BLOB_SRC_LSB +: 32]};
    assign salt_wdata = (state != STATE) ? 32'd0 : slot_blob[`ESPC_SA_BLOB_SALT_LSB +: 32];
    assign drain_we = sweeping || state == INSERT || state == MARK;
    assign drain_wdata = state == MARK;

    // ---- the window's words from the seed: word j holds the numbers of block (top / 64) - j ---------------
    reg [63:0] seeds [0:15];
    reg [5:0] step;
    reg [57:0] block;       // top / 64 - step
    reg below;             // ... is below the first
    wire [5:0] pos = top[5:0];
    wire [63:0] seed_here = (step < 6'd16) ? seeds[step[3:0]] : 64'd0;
    wire [3:0] step_back = step[3:0] - 4'd1;
    wire [63:0] seed_above = (step == 6'd0 || step > 6'd16) ? 64'd0 : seeds[step_back];
    wire in_window = step <= 6'd16 && !below;

    function [63:0] mirror;
        input [63:0] fv;
        integer i;
        for (i = 0; i < 64; i = i + 1)
            mirror[i] = fv[63-i];
    endfunction

    wire [63:0] bits = (mirror(seed_here) >> (6'd63 - pos)) | ((mirror(seed_above) << pos) << 1);
    // the next word to be written, made a cycle ahead, and whether it is there
    reg word_made;
    reg [4:0] word_place;
    reg [116:0] word;
    assign c_word = word_place;
    assign c_word_data = word;
    assign c_slot = slot_index;
    assign c_req = (state == WINDOW && word_made) || state == STATE || state == COUNT;
    assign c_write_word = state == WINDOW;
    assign c_write_slot = state == STATE;

    always @(posedge clk)
        if (seed_valid)
            seeds[seed_index] <= seed_word;

    // ---- order list of the packets inside -----------------------------------------------------------------
    reg [LOG2_SA:0] order [0:63];
    reg [6:0] head, tail, scan, last;
    reg seen;
    wire [LOG2_SA:0] entry = order[scan[5:0]];
    wire [6:0] since = tail - last;
    always @(posedge clk) begin
        if (pkt_in) begin
            order[head[5:0]] <= {pkt_in_uses, pkt_in_slot};
            head <= head + 7'd1;
        end
        if (pkt_out)
            tail <= tail + 7'd1;
        if (rst) begin
            head <= 7'd0;
            tail <= 7'd0;
        end
    end

    // ---- the sequence of steps ----------------------------------------------------------------------------
    reg swept, core_swept, have_key;
    reg fresh;          // a packet of this epoch has come
    reg [6:0] scan_end;
    // From the cycle after zeroize, as the new epoch: what leaves a stage in the cycle of zeroize itself left before it.
    assign wipe = sweeping;
    assign zeroized = !sweeping && !zeroize;
    assign key_valid = state == KEY && !zeroize;
    assign clr_valid = state == FORGET && !zeroize;

    always @(posedge clk) begin
        slot_done <= 1'b0;
        gcm_zeroize <= 1'b0;
        if (key_done)
            have_key <= 1'b1;
        case (state)
            SWEEP: begin
                sweep <= sweep + 1'b1;
                if (&sweep)
                    swept <= 1'b1;
                if (gcm_zeroized)
                    core_swept <= 1'b1;
                if (swept && core_swept) begin
                    state <= IDLE;
                    sweeping <= 1'b0;
                end
            end
            IDLE: begin
                op <= slot_op;
                slot_status <= `ESPC_STATUS_OK;
                have_key <= 1'b0;
                step <= 6'd0;
                hash_spi <= spi;
                if (slot_valid)
                    state <= HASH;
            end
            HASH:
                state <= LOOK;
            LOOK:
                state <= CHECK;
            CHECK:
                if (op == OP_WRITE) begin
                    way <= free_way;
                    state <= DONE;
                    if (own_valid)
                        slot_status <= `ESPC_STATUS_SLOT_BUSY;
                    else if (same != 4'd0)
                        slot_status <= `ESPC_STATUS_SPI_EXISTS;
                    else if (&taken)
                        slot_status <= `ESPC_STATUS_BUCKET_FULL;
                    else
                        state <= KEY;
                end else if (!own_valid) begin
                    slot_status <= `ESPC_STATUS_SA_INVALID;
                    state <= DONE;
                end else if (own_gen != slot_gen) begin
                    slot_status <= `ESPC_STATUS_SA_STALE_GEN;
                    state <= DONE;
                end else if (op == OP_DRAIN || op == OP_CLEAR) begin
                    hash_spi <= own_spi;
                    state <= MARK;
                end else if (op == OP_ENDPOINT) begin
                    hash_spi <= own_spi;
                    state <= END_HASH;
                end else begin
                    slot_status <= (op == OP_QUERY) ? `ESPC_STATUS_OK : `ESPC_STATUS_BAD_OPCODE;
                    state <= COUNT;
                end
            KEY: begin
                block <= top[63:6];
                below <= 1'b0;
                word_made <= 1'b0;
                if (key_ready)
                    state <= WINDOW;
            end
            // 32 words; `step` counts those that have been made
            WINDOW:
                if (c_grant || !word_made) begin
                    word_made <= 1'b1;
                    word_place <= block[4:0];
                    word <= in_window ? {block[57:5], bits} : 117'd0;
                    step <= step + 6'd1;
                    block <= block - 58'd1;
                    below <= below || block == 58'd0;
                    if (step == 6'd32)
                        state <= STATE;
                end
            STATE:
                if (c_grant)
                    state <= KEY_WAIT;
            KEY_WAIT:
                if (have_key)
                    state <= INSERT;
            INSERT:
                state <= DONE;
            MARK:
                state <= (op == OP_CLEAR) ? BUCKET : SETTLE;
            BUCKET:
                state <= UNLIST;
            UNLIST:
                state <= SETTLE;
            // look-ups that read the mark, or the table, too early are in the order list after this
            SETTLE: begin
                step <= step + 6'd1;
                seen <= 1'b0;
                scan <= tail;
                scan_end <= head;
                if (step == 6'd15)
                    state <= SCAN;
            end
            SCAN:
                if (scan == scan_end) begin
                    state <= seen ? LEAVE : COUNT;
                end else begin
                    scan <= scan + 7'd1;
                    if (entry == {1'b1, slot_index}) begin
                        seen <= 1'b1;
                        last <= scan;
                    end
                end
            LEAVE:
                if (since != 7'd0 && !since[6])
                    state <= COUNT;
            COUNT:
                if (c_grant)
                    state <= COUNT_READ;
            COUNT_READ:
                state <= COUNTED;
            COUNTED: begin
                slot_last_seq <= c_last_seq;
                slot_packets <= c_packets;
                slot_bytes <= c_bytes;
                slot_drops <= c_drops;
                state <= (op == OP_CLEAR) ? FORGET : DONE;
            end
            FORGET:
                if (clr_ready)
                    state <= FORGOTTEN;
            FORGOTTEN:
                if (clr_done)
                    state <= REMOVE;
            REMOVE:
                state <= DONE;
            // new ends: what is looked up meanwhile has the old ones or the new ones, in the table and beside it
            END_HASH:
                state <= END_READ;
            END_READ:
                state <= END_CHECK;
            END_CHECK: begin
                state <= ((same & ~mine) != 4'd0) ? DONE : END_WRITE;
                if ((same & ~mine) != 4'd0)
                    slot_status <= `ESPC_STATUS_SPI_EXISTS;
            end
            END_WRITE:
                state <= END_WAIT;
            END_WAIT:
                state <= END_PASS;
            END_PASS:
                state <= END_TAKE;
            END_TAKE:
                state <= DONE;
            default: begin
                slot_done <= 1'b1;
                state <= IDLE;
            end
        endcase

        if (state == IDLE) begin
            slot_last_seq <= 64'd0;
            slot_packets <= 64'd0;
            slot_bytes <= 64'd0;
            slot_drops <= 64'd0;
        end
        if (zeroize || rst) begin
            slot_done <= 1'b0;
            sweep <= {SWEEP_BITS{1'b0}};
            swept <= 1'b0;
            core_swept <= 1'b0;
            gcm_zeroize <= 1'b1;
            state <= SWEEP;
            sweeping <= 1'b1;
        end
        // A new epoch only where a packet has the old one: so there are never more epochs inside than packets, and a
        // packet that stays for long meets its epoch's number again in no other.
        if (rst) begin
            epoch <= 8'd0;
            fresh <= 1'b0;
        end else if (zeroize && (fresh || pkt_new)) begin
            epoch <= epoch + 8'd1;
            fresh <= 1'b0;
        end else if (pkt_new)
            fresh <= 1'b1;
    end
endmodule

`default_nettype wire
