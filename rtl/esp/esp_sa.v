// SPDX-License-Identifier: Apache-2.0
// The SA manager: takes SA commands as a stream of 64-bit words, checks them field by field, and works them through the
// slot ports of the two pipelines, one at a time. Formats and statuses are those of hw/regs/espalier.rdl.
//
// An ADD first asks whether the slot is free, then checks the blob, passes the window's seed bits on (inbound) and asks for
// WRITE; a DELETE is DRAIN, QUERY, CLEAR, an ENDPOINT is QUERY and ENDPOINT with a blob of which only the ends count. An ADD takes the blob's words plus the pipeline's key schedule (about 180 cycles in all).
// Contract, slot ports: slot_* is stable from valid to done; seeds come right before their WRITE and only for a
// free slot; `done` is a pulse. Key bytes stay in `slot_blob` only until the command's end, and leave it at once on
// `wipe`, which also makes the command in work ABORTED. One result of 8 words for each command, in order.
`default_nettype none
`include "hw/regs/gen/espalier_card.vh"

module esp_sa #(
    parameter LOG2_SA = 10
) (
    input  wire               clk,
    input  wire               rst,
    // keys are being wiped, by whomever; `zeroize` asks for it, `zeroized` says that it is done
    input  wire               wipe,
    output reg                zeroize,
    input  wire               zeroized,
    output wire               busy,

    input  wire               s_tvalid,
    output wire               s_tready,
    input  wire [63:0]        s_tdata,
    input  wire               s_tlast,
    output wire               m_tvalid,
    input  wire               m_tready,
    output reg  [63:0]        m_tdata,
    output wire               m_tlast,
    output wire [15:0]        m_status,

    output wire               tx_valid,
    input  wire               tx_ready,
    input  wire               tx_done,
    input  wire [15:0]        tx_status,
    input  wire [31:0]        tx_refused,
    input  wire [63:0]        tx_last_seq,
    input  wire [63:0]        tx_packets,
    input  wire [63:0]        tx_bytes,
    input  wire [63:0]        tx_drops,
    output wire               rx_valid,
    input  wire               rx_ready,
    input  wire               rx_done,
    input  wire [15:0]        rx_status,
    input  wire [31:0]        rx_refused,
    input  wire [63:0]        rx_last_seq,
    input  wire [63:0]        rx_packets,
    input  wire [63:0]        rx_bytes,
    input  wire [63:0]        rx_drops,

    output reg  [2:0]         slot_op,
    output wire [LOG2_SA-1:0] slot_index,
    output wire [15:0]        slot_gen,
    output reg  [8*256-1:0]   slot_blob,
    output wire [63:0]        slot_limit,
    output wire [63:0]        slot_deadline,
    output reg                seed_valid,
    output reg  [3:0]         seed_index,
    output reg  [63:0]        seed_word
);
    localparam [2:0] WRITE = 3'd0, DRAIN = 3'd1, CLEAR = 3'd2, LEASE = 3'd3, QUERY = 3'd4, ENDPOINT = 3'd5;
    localparam [3:0] CMD = 4'd0, DECIDE = 4'd1, ASK = 4'd2, WAIT = 4'd3, BLOB = 4'd4, CHECK = 4'd5, FLUSH = 4'd6,
                     RESULT = 4'd7, WIPING = 4'd8;

    reg [3:0]  state;
    reg [6:0]  cnt;        // words of the command or the blob so far
    reg        ended;      // the word with tlast has come
    reg        whole;      // all eight words of the command have come
    reg        checked;    // the blob's fields are in order
    reg [7:0]  op, dir;
    reg [15:0] gen;
    reg [31:0] index;
    reg [63:0] limit, deadline;
    reg [15:0] status;
    reg [31:0] refused;
    reg [63:0] last_seq, packets, bytes, drops;

    assign slot_index = index[LOG2_SA-1:0];
    assign slot_gen = gen;
    assign slot_limit = limit;
    assign slot_deadline = deadline;
    assign tx_valid = state == ASK && !dir[0] && !wipe;
    assign rx_valid = state == ASK && dir[0] && !wipe;
    wire        taken = dir[0] ? rx_ready : tx_ready;
    wire        done = dir[0] ? rx_done : tx_done;
    wire [15:0] got = dir[0] ? rx_status : tx_status;

    assign s_tready = state == CMD || ((state == BLOB || state == FLUSH) && !ended);
    wire word = s_tvalid && s_tready;
    assign busy = state != CMD || cnt != 0;

    // ---- the blob's fields -------------------------------------------------------------------------------------------
    wire inbound = dir[0];
    wire [31:0]  f_spi = slot_blob[`ESPC_SA_BLOB_SPI_LSB +: 32];
    wire [25:0]  f_flags_rest = slot_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_DSCP_DECAP_LSB + 1 +: 26];
    wire [31:0]  f_alg = slot_blob[`ESPC_SA_BLOB_ALG_LSB +: 32];
    wire [31:0]  f_integ = slot_blob[`ESPC_SA_BLOB_INTEG_LSB +: 32];
    wire [7:0]   f_mode = slot_blob[`ESPC_SA_BLOB_MODE_LSB +: 8];
    wire [7:0]   f_outer = slot_blob[`ESPC_SA_BLOB_OUTER_LSB +: 8];
    wire [7:0]   f_inner = slot_blob[`ESPC_SA_BLOB_INNER_LSB +: 8];
    wire [127:0] f_key_high = slot_blob[`ESPC_SA_BLOB_KEY_LSB + 128 +: 128];
    wire [31:0]  f_window = slot_blob[`ESPC_SA_BLOB_WINDOW_LSB +: 32];
    wire [95:0]  f_src_rest = slot_blob[`ESPC_SA_BLOB_SRC_LSB + 32 +: 96];
    wire [95:0]  f_dst_rest = slot_blob[`ESPC_SA_BLOB_DST_LSB + 32 +: 96];
    wire [63:0]  f_seq = slot_blob[`ESPC_SA_BLOB_SEQ_LSB +: 64];
    wire [63:0]  f_limit = slot_blob[`ESPC_SA_BLOB_SEQ_LIMIT_LSB +: 64];
    wire [15:0]  f_sport = slot_blob[`ESPC_SA_BLOB_SPORT_LSB +: 16];
    wire [15:0]  f_dport = slot_blob[`ESPC_SA_BLOB_DPORT_LSB +: 16];
    wire [7:0]   f_ttl = slot_blob[`ESPC_SA_BLOB_TTL_LSB +: 8];
    wire [63:0]  f_deadline = slot_blob[`ESPC_SA_BLOB_DEADLINE_LSB +: 64];
    wire [31:0]  f_tfc = slot_blob[`ESPC_SA_BLOB_TFC_LENGTH_LSB +: 32];
    wire [15:0]  f_id_offset = slot_blob[`ESPC_SA_BLOB_ID_OFFSET_LSB +: 16];
    wire [15:0]  f_rest = slot_blob[`ESPC_SA_BLOB_RESERVED0_LSB +: 16];
    wire         f_esn = slot_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_ESN_LSB];
    wire         f_udp = slot_blob[`ESPC_SA_BLOB_FLAGS_LSB + `ESPC_SA_BLOB_FLAGS_UDP_ENCAP_LSB];
    wire         transport = f_mode == `ESPC_SA_MODE_TRANSPORT;
    wire         f_128 = f_alg == `ESPC_SA_ALG_AES128_GCM16;
    // the high half of an extended number is inferred from the window (RFC 4303 section 2.2.1)
    wire         bad_window = inbound && (f_window > 32'd1024 || (f_esn && f_window == 0));
    wire         bad_seq = inbound ? (!f_esn && f_seq[63:32] != 0) : f_seq == 0;

    // An ENDPOINT's blob says nothing of the SA's mode, and which slots' SAs are of transport mode is known here alone: in UDP it
    // would ask for the payload's checksum anew (RFC 3948 section 3.1.2), which the pipelines cannot make.
    // One address for both ports, and one bit wide: of LUTs it would be 256 of them, and Debian's Yosys cannot make it of these.
    (* ram_style = "block" *) reg modes [0:(1<<(LOG2_SA+1))-1];
    reg slot_transport;
    wire [LOG2_SA:0] mode_at = {inbound, slot_index};
    always @(posedge clk) begin
        if (state == WAIT && done && slot_op == WRITE)
            modes[mode_at] <= transport;
        if (state == ASK)
            slot_transport <= modes[mode_at];
    end

    // The fields that are wrong, as they stood a cycle ago: all have been there for longer when they are asked for. What is
    // reserved or not offered from word 20 on is looked at as it comes, and its offset kept.
    reg [18:0] bad;
    // of the ends alone
    localparam [18:0] ENDS = 19'b1000001001111000010;
    wire [18:0] judged = (op == `ESPC_SA_OP_ENDPOINT) ? bad & ENDS : bad;
    reg        lease_over, rest_bad;
    reg [8:0]  rest_at;
    always @(posedge clk) begin
        lease_over <= f_limit <= f_seq;
        bad <= {f_rest != 0, inbound && f_id_offset != 0, f_tfc != 0, inbound && f_deadline != 0, bad_seq,
                f_inner != (transport ? 8'd0 : `ESPC_FAMILY_IPV4), f_outer != `ESPC_FAMILY_IPV4,
                (f_mode != `ESPC_SA_MODE_TUNNEL && !transport) || (transport && f_udp), !inbound && f_ttl == 0 && !transport, f_udp && f_dport == 0,
                f_udp && !inbound && f_sport == 0, f_dst_rest != 0, f_src_rest != 0, bad_window, f_128 && f_key_high != 0,
                f_integ != `ESPC_SA_INTEG_NONE, !f_128 && f_alg != `ESPC_SA_ALG_AES256_GCM16,
                f_flags_rest != 0 || (op == `ESPC_SA_OP_ENDPOINT && f_udp && slot_transport), f_spi == 0};
    end

    reg [15:0] field_status;
    reg [31:0] field_offset;
    always @* begin
        field_status = `ESPC_STATUS_BAD_FIELD;
        casez (judged)
            19'b??????????????????1: field_offset = `ESPC_SA_BLOB_SPI_OFFSET;
            19'b?????????????????10: field_offset = `ESPC_SA_BLOB_FLAGS_OFFSET;
            19'b????????????????100: field_offset = `ESPC_SA_BLOB_ALG_OFFSET;
            19'b???????????????1000: field_offset = `ESPC_SA_BLOB_INTEG_OFFSET;
            19'b??????????????10000: field_offset = `ESPC_SA_BLOB_KEY_OFFSET;
            19'b?????????????100000: field_offset = `ESPC_SA_BLOB_WINDOW_OFFSET;
            19'b????????????1000000: field_offset = `ESPC_SA_BLOB_SRC_OFFSET;
            19'b???????????10000000: field_offset = `ESPC_SA_BLOB_DST_OFFSET;
            19'b??????????100000000: field_offset = `ESPC_SA_BLOB_SPORT_OFFSET;
            19'b?????????1000000000: field_offset = `ESPC_SA_BLOB_DPORT_OFFSET;
            19'b????????10000000000: field_offset = `ESPC_SA_BLOB_TTL_OFFSET;
            19'b???????100000000000: field_offset = `ESPC_SA_BLOB_MODE_OFFSET;
            19'b??????1000000000000: field_offset = `ESPC_SA_BLOB_OUTER_OFFSET;
            19'b?????10000000000000: field_offset = `ESPC_SA_BLOB_INNER_OFFSET;
            19'b????100000000000000: field_offset = `ESPC_SA_BLOB_SEQ_OFFSET;
            19'b???1000000000000000: field_offset = `ESPC_SA_BLOB_DEADLINE_OFFSET;
            19'b??10000000000000000: field_offset = `ESPC_SA_BLOB_TFC_LENGTH_OFFSET;
            19'b?100000000000000000: field_offset = `ESPC_SA_BLOB_ID_OFFSET_OFFSET;
            19'b1000000000000000000: field_offset = `ESPC_SA_BLOB_RESERVED0_OFFSET;
            default: begin
                field_offset = rest_bad ? {23'd0, rest_at} : 32'd0;
                field_status = rest_bad ? `ESPC_STATUS_BAD_FIELD :
                               (!inbound && lease_over && op == `ESPC_SA_OP_ADD) ? `ESPC_STATUS_BAD_LEASE : `ESPC_STATUS_OK;
            end
        endcase
    end

    // ---- the command's own fields --------------------------------------------------------------------------------------
    wire known = op == `ESPC_SA_OP_ADD || op == `ESPC_SA_OP_DRAIN || op == `ESPC_SA_OP_DELETE
                 || op == `ESPC_SA_OP_QUERY || op == `ESPC_SA_OP_ENDPOINT || (op == `ESPC_SA_OP_LEASE && dir == 8'd0);
    wire in_range = dir[7:1] == 0 && {{LOG2_SA{1'b0}}, index} >> LOG2_SA == 0;

    integer i;
    always @(posedge clk) begin
        zeroize <= 1'b0;
        seed_valid <= 1'b0;
        if (word) begin
            ended <= s_tlast;
            if (!cnt[6])
                cnt <= cnt + 1'b1;
        end
        case (state)
            CMD: if (word) begin
                case (cnt[2:0])
                    3'd0: begin
                        {index, gen, dir, op} <= s_tdata;
                        checked <= 1'b0;
                        rest_bad <= 1'b0;
                        refused <= 32'd0;
                        last_seq <= 64'd0;
                        packets <= 64'd0;
                        bytes <= 64'd0;
                        drops <= 64'd0;
                    end
                    3'd4: limit <= s_tdata;
                    3'd5: deadline <= s_tdata;
                    default: ;
                endcase
                whole <= cnt == 7'd7;
                if (cnt == 7'd7 || s_tlast)
                    state <= DECIDE;
            end
            DECIDE: begin
                cnt <= 7'd0;
                state <= FLUSH;
                if (op == `ESPC_SA_OP_FENCE && whole)
                    status <= `ESPC_STATUS_OK;
                else if (op == `ESPC_SA_OP_ZEROIZE_ALL && whole) begin
                    status <= `ESPC_STATUS_OK;
                    zeroize <= 1'b1;
                    state <= WIPING;
                end else if (!known || !whole)
                    status <= `ESPC_STATUS_BAD_OPCODE;
                else if (!in_range)
                    status <= `ESPC_STATUS_BAD_INDEX;
                else begin
                    slot_op <= (op == `ESPC_SA_OP_LEASE) ? LEASE
                               : (op == `ESPC_SA_OP_DRAIN || op == `ESPC_SA_OP_DELETE) ? DRAIN : QUERY;
                    state <= ASK;
                end
            end
            ASK: if (taken)
                state <= WAIT;
            WAIT: if (done) begin
                status <= got;
                // an ADD's first question only asks whether the slot is free
                if (op == `ESPC_SA_OP_ADD && slot_op == QUERY) begin
                    status <= `ESPC_STATUS_SLOT_BUSY;
                    state <= (got == `ESPC_STATUS_SA_INVALID) ? BLOB : FLUSH;
                end else begin
                    refused <= dir[0] ? rx_refused : tx_refused;
                    if (slot_op != CLEAR && slot_op != WRITE && slot_op != ENDPOINT) begin
                        last_seq <= dir[0] ? rx_last_seq : tx_last_seq;
                        packets <= dir[0] ? rx_packets : tx_packets;
                        bytes <= dir[0] ? rx_bytes : tx_bytes;
                        drops <= dir[0] ? rx_drops : tx_drops;
                    end
                    // an ENDPOINT's first question is for the SA
                    state <= (got == `ESPC_STATUS_OK && op == `ESPC_SA_OP_ENDPOINT && slot_op == QUERY) ? BLOB : FLUSH;
                    if (got == `ESPC_STATUS_OK && op == `ESPC_SA_OP_DELETE && slot_op != CLEAR) begin
                        slot_op <= (slot_op == DRAIN) ? QUERY : CLEAR;
                        state <= ASK;
                    end
                end
            end
            BLOB: begin
                for (i = 0; i < 32; i = i + 1)
                    if (word && cnt == i[6:0])
                        slot_blob[64*i +: 64] <= s_tdata;
                seed_valid <= word && dir[0] && op == `ESPC_SA_OP_ADD && cnt[6:4] == 3'd2;
                seed_index <= cnt[3:0];
                seed_word <= s_tdata;
                if (word && s_tdata != 64'd0 && !rest_bad
                    && ((cnt[6:5] == 2'd0 && cnt[4] && cnt[3:2] != 2'd0) || cnt[6:4] == 3'd3)) begin
                    rest_bad <= 1'b1;
                    rest_at <= {cnt[5:0], 3'd0};
                end
                if (!checked && (ended || (word && cnt == 7'd31)))
                    state <= CHECK;
                else if (checked && ended && rest_bad) begin
                    status <= `ESPC_STATUS_BAD_FIELD;
                    refused <= {23'd0, rest_at};
                    state <= FLUSH;
                end else if (checked && ended) begin
                    slot_op <= (op == `ESPC_SA_OP_ADD) ? WRITE : ENDPOINT;
                    state <= ASK;
                end
            end
            CHECK: begin
                checked <= 1'b1;
                status <= field_status;
                if (field_status == `ESPC_STATUS_BAD_FIELD)
                    refused <= field_offset;
                state <= (field_status == `ESPC_STATUS_OK) ? BLOB : FLUSH;
            end
            // take what is left of the command
            FLUSH: if (ended) begin
                state <= RESULT;
                cnt <= 7'd0;
            end
            WIPING: if (zeroized && !zeroize) begin
                cnt <= 7'd0;
                state <= FLUSH;
            end
            default: if (m_tready) begin
                cnt <= cnt + 1'b1;
                if (cnt[2:0] == 3'd7) begin
                    state <= CMD;
                    cnt <= 7'd0;
                end
            end
        endcase
        if (state == RESULT)
            slot_blob <= {2048{1'b0}};
        if (wipe) begin
            slot_blob <= {2048{1'b0}};
            seed_word <= 64'd0;
            // the command in work ends here; CMD and RESULT hold nothing that the pipelines know of
            if (state == ASK || state == WAIT || state == BLOB || state == CHECK) begin
                status <= `ESPC_STATUS_ABORTED;
                refused <= 32'd0;
                state <= WIPING;
            end
        end
        if (rst) begin
            state <= CMD;
            cnt <= 7'd0;
            ended <= 1'b0;
            zeroize <= 1'b0;
            slot_blob <= {2048{1'b0}};
        end
    end

    assign m_tvalid = state == RESULT;
    assign m_tlast = cnt[2:0] == 3'd7;
    assign m_status = status;
    always @* begin
        case (cnt[2:0])
            3'd0:    m_tdata = last_seq;
            3'd1:    m_tdata = packets;
            3'd2:    m_tdata = bytes;
            3'd3:    m_tdata = drops;
            3'd4:    m_tdata = {32'd0, refused};
            default: m_tdata = 64'd0;
        endcase
    end
endmodule

`default_nettype wire
