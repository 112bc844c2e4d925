// SPDX-License-Identifier: Apache-2.0
// Decapsulation, stage 3: takes the stored beats of each packet together with its verdict, cuts the headers
// off, aligns the ciphertext to the beats of the AES-GCM core, and takes the ICV out (RFC 4106 section 6).
// Dropped packets end here.
//
// A packet of n beats takes n cycles, without a gap between packets: the cycle that the core wants to itself behind a last beat
// which is full to its last block (see gcm_core) falls on a beat without ciphertext, and is waited for where a malformed packet
// has none. Each beat waits one cycle for the one
// behind it, since an aligned beat is cut from two; the ICV is cut from the same pair. Byte n of a packet is
// byte n modulo KB of the bus. A packet that ends before its length is filled with zeros, never with its
// successor, and its `icv_cut` says that it is to be dropped.
// Contract: `room` says that the store behind the core has space for one more beat; the core takes every g_*
// beat, but none while `wipe` is set. Beats of packets whose epoch has passed do not reach the core. `wipe` is set for
// longer than a packet that it meets may stay in front of this stage.
`default_nettype none

module esp_rx_build #(
    parameter LANES = 1,
    parameter LOG2_SA = 10
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 wipe,
    // forget the salt of the last packet
    input  wire                 scrub,
    input  wire [7:0]           epoch,

    // stored beats
    input  wire                 b_valid,
    output wire                 b_take,
    input  wire [128*LANES-1:0] b_data,
    input  wire                 b_last,
    // on the last one: the packet has another length than it should
    input  wire                 b_bad,
    // one job for each packet
    input  wire                 j_valid,
    output wire                 j_take,
    input  wire                 j_open,
    input  wire [7:0]           j_epoch,
    input  wire [4:0]           j_words,
    input  wire [15:0]          j_bytes,
    input  wire [LOG2_SA-1:0]   j_slot,
    input  wire [63:0]          j_iv,
    input  wire [95:0]          j_aad,
    input  wire                 j_esn,
    // the salt of j_slot, a cycle after j_take and as long as salt_held is up
    input  wire [31:0]          salt,
    output wire                 salt_held,

    input  wire                 room,
    output reg                  g_valid,
    output reg                  g_sop,
    output reg                  g_eop,
    output reg  [128*LANES-1:0] g_data,
    output reg  [6:0]           g_bytes,
    output reg  [LOG2_SA-1:0]   g_slot,
    output reg  [95:0]          g_nonce,
    output reg  [95:0]          g_aad,
    output reg  [4:0]           g_aad_len,
    // a beat goes to the core at the next edge
    output wire                 g_next,
    output reg                  icv_valid,
    output reg  [127:0]         icv,
    output reg                  icv_cut
);
    localparam W = 128 * LANES;
    localparam KB = 16 * LANES;
    // words of a beat: 2^LK
    localparam LK = (LANES == 1) ? 2 : (LANES == 2) ? 3 : 4;
    localparam [15:0] KB16 = KB[15:0];
    localparam [15:0] TWO_KB = 2 * KB16;
    localparam [15:0] FREE = KB16 - 16'd16;

    // the beat in wait and its packet
    reg held;
    reg last, bad;
    reg first_next;      // the next stored beat opens a packet
    reg [W-1:0] prev;
    // it is to be opened, and no wipe has come since its job was taken
    reg live;
    reg begun;
    reg [14:0] index;
    reg [LK-1:0] words;
    reg [4-LK:0] lead;    // beats still to come before the first one with ciphertext
    reg [15:0] rest;      // bytes of ciphertext still to come
    reg some, many;      // it is not zero; it is more than a beat
    reg [127:0] icv_kept;
    reg [14:0] icv_word;
    reg [LOG2_SA-1:0] slot;
    reg [63:0] iv;
    reg [95:0] aad;
    reg esn;

    // a beat with ciphertext
    wire text = lead == {5-LK{1'b0}} && some;
    reg pause;
    wire fire = held && (last || b_valid) && ((room && !(pause && text)) || !live);
    wire [14:0] icv_beat = icv_word >> LK;
    wire emit = fire && live && text;
    // the packet is over, but its ciphertext not yet
    wire fill = last && live && (emit ? many : some);
    wire done = fire && !fill;
    assign b_take = b_valid && (!held || done) && (!first_next || j_valid);
    assign j_take = b_take && first_next;

    assign g_next = emit;
    // each of the packet's beats takes the salt with it
    assign salt_held = held && live;

    wire [2*W-1:0] pair = {last ? {W{1'b0}} : b_data, prev};
    wire icv_here = index == icv_beat;
    wire [W-1:0] aligned;
    wire [127:0] icv_now;
    esp_rx_shift #(.IN(2*W), .OUT(W), .LS(LK)) cut_data (.d(pair), .words(words), .q(aligned));
    esp_rx_shift #(.IN(2*W), .OUT(128), .LS(LK)) cut_icv (.d(pair), .words(icv_word[LK-1:0]), .q(icv_now));

    always @(posedge clk) begin
        if (done)
            held <= 1'b0;
        if (b_take || (fire && fill)) begin
            index <= index + 15'd1;
            if (lead != {5-LK{1'b0}})
                lead <= lead - 1'b1;
        end
        if (fire && fill)
            prev <= {W{1'b0}};
        if (b_take) begin
            held <= 1'b1;
            last <= b_last;
            bad <= b_bad;
            prev <= b_data;
            first_next <= b_last;
        end
        if (emit) begin
            rest <= rest - KB16;
            some <= many;
            many <= rest > TWO_KB;
            begun <= 1'b1;
        end
        if (j_take) begin
            index <= 15'd0;
            begun <= 1'b0;
            words <= j_words[LK-1:0];
            lead <= j_words[4:LK];
            rest <= j_bytes;
            some <= j_bytes != 16'd0;
            many <= j_bytes > KB16;
            icv_word <= {10'd0, j_words} + {1'b0, j_bytes[15:2]};
            slot <= j_slot;
            iv <= j_iv;
            aad <= j_aad;
            esn <= j_esn;
        end

        // the first cycle of a wipe still sends what the core no longer takes
        if (j_take)
            live <= j_open && !wipe && j_epoch == epoch;
        else if (wipe)
            live <= 1'b0;

        g_valid <= emit;
        pause <= emit && !many && rest > FREE;
        if (emit) begin
            g_sop <= !begun;
            g_eop <= !many;
            g_data <= aligned;
            g_bytes <= many ? KB16[6:0] : rest[6:0];
            g_slot <= slot;
            g_nonce <= {iv, salt};
            g_aad <= aad;
            g_aad_len <= esn ? 5'd12 : 5'd8;
        end
        // the ICV goes on when the packet's end has been seen
        icv_valid <= done && last && live;
        if (fire && icv_here)
            icv_kept <= icv_now;
        if (done && last) begin
            icv <= icv_here ? icv_now : icv_kept;
            icv_cut <= bad;
        end

        if (scrub && !emit)
            g_nonce <= 96'd0;
        if (rst) begin
            held <= 1'b0;
            live <= 1'b0;
            first_next <= 1'b1;
            g_valid <= 1'b0;
            pause <= 1'b0;
            icv_valid <= 1'b0;
        end
    end
endmodule

`default_nettype wire
