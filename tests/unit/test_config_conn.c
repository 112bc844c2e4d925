// SPDX-License-Identifier: Apache-2.0
// Validation of connections: every key with a good and a bad value, unknown keys, and keys that this build
// refuses.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/config/conn_load.h"
#include "ctrl/config/proposal_text.h"
#include "tests/unit/config_conn_rig.h"

static void test_any_address_stays_beside_others(void **state)
{
    (void)state; // left out it would narrow the list to the others
    assert_int_equal(load(IN_CONN, "remote_addrs", "%any"), 0);
    assert_true(conn.remote_count == 1 && conn.remote_addrs[0].family == 0);
}

static void test_defaults_are_charons(void **state)
{
    (void)state;
    assert_int_equal(load(NOWHERE, "", ""), 0);
    assert_string_equal(conn.name, "gw");
    assert_int_equal(conn.rekey_time, 4 * 3600);
    assert_int_equal(conn.over_time, 4 * 360);
    assert_int_equal(conn.rand_time, 4 * 360);
    assert_int_equal(conn.reauth_time, 0);
    assert_int_equal(conn.keyingtries, 1);
    assert_int_equal(conn.proposal_count, 2); // AEAD and others
    assert_int_equal(conn.child_count, 1);
    const struct child_config *c = &conn.children[0];
    assert_string_equal(c->name, "net");
    assert_int_equal(c->rekey_time, 3600);
    assert_int_equal(c->life_time, 3960);
    assert_int_equal(c->rand_time, 360);
    assert_true(!c->rekey_bytes && !c->life_bytes && !c->rand_bytes);
    assert_true(!c->rekey_packets && !c->life_packets && !c->rand_packets && !c->inactivity);
    assert_int_equal(c->proposal_count, 2); // AEAD and others
    assert_int_equal(c->hw_offload, OFFLOAD_DEFAULT);
    assert_int_equal(c->replay_window, UINT32_MAX);
    assert_int_equal(c->local_ts->count, 1);
    assert_int_equal(c->local_ts->t[0].family, 0); // dynamic
    assert_true(c->copy_df && c->copy_ecn && c->copy_dscp_out && !c->copy_dscp_in);
}

static void test_keys_good_values(void **state)
{
    (void)state;
    static const struct {
        enum place place;
        const char *key, *value;
    } good[] = {
        {IN_CONN, "version", "2"},
        {IN_CONN, "version", "0"},
        {IN_CONN, "local_port", "0"},
        {IN_CONN, "remote_port", "4500"},
        {IN_CONN, "encap", "yes"},
        {IN_CONN, "mobike", "no"},
        {IN_CONN, "send_cert", "never"},
        {IN_CONN, "send_certreq", "no"},
        {IN_CONN, "unique", "replace"},
        {IN_CONN, "dpd_delay", "30s"},
        {IN_CONN, "dpd_timeout", "0s"},
        {IN_CONN, "keyingtries", "0"},
        {IN_CONN, "rekey_time", "0"},
        {IN_CONN, "reauth_time", "0"},
        {IN_CONN, "over_time", "5m"},
        {IN_CONN, "rand_time", "1m"},
        {IN_CONN, "fragmentation", "no"},
        {IN_CONN, "childless", "allow"},
        {IN_CONN, "aggressive", "no"},
        {IN_CONN, "pull", "yes"},
        {IN_CONN, "dscp", "000000"},
        {IN_CONN, "ppk_required", "no"},
        {IN_CONN, "ppk_id", "x"},
        {IN_CONN, "if_id_in", "0"},
        {IN_CONN, "mediation", "no"},
        {IN_CONN, "ocsp", "reply"},
        {IN_LOCAL, "id", "west@example.net"},
        {IN_REMOTE, "id", "%any"},
        {IN_REMOTE, "revocation", "relaxed"},
        {IN_LOCAL, "round", "1"},
        {IN_CHILD, "mode", "tunnel"},
        {IN_CHILD, "policies", "yes"},
        {IN_CHILD, "hostaccess", "no"},
        {IN_CHILD, "replay_window", "0"},
        {IN_CHILD, "replay_window", "1024"},
        {IN_CHILD, "rekey_time", "0"},
        {IN_CHILD, "life_time", "0"},
        {IN_CHILD, "rekey_bytes", "1g"},
        {IN_CHILD, "life_packets", "100"},
        {IN_CHILD, "dpd_action", "restart"},
        {IN_CHILD, "dpd_action", "trap"},
        {IN_CHILD, "start_action", "start"},
        {IN_CHILD, "start_action", "trap|start"},
        {IN_CHILD, "close_action", "start|trap"},
        {IN_CHILD, "close_action", "trap"},
        {IN_CHILD, "ipcomp", "no"},
        {IN_CHILD, "inactivity", "0"},
        {IN_CHILD, "reqid", "7"},
        {IN_CHILD, "priority", "0"},
        {IN_CHILD, "mark_in", "0x0/0xffffffff"},
        {IN_CHILD, "tfc_padding", "0"},
        {IN_CHILD, "tfc_padding", "1400"},
        {IN_CHILD, "tfc_padding", "mtu"},
        {IN_CHILD, "tfc_dummies", "0"},
        {IN_CHILD, "hw_offload", "packet"},
        {IN_CHILD, "hw_offload", "auto"},
        {IN_CHILD, "hw_offload", "crypto"},
        {IN_CHILD, "sha256_96", "no"},
        {IN_CHILD, "copy_df", "no"},
        {IN_CHILD, "copy_ecn", "yes"},
        {IN_CHILD, "copy_dscp", "yes"},
        {IN_CHILD, "label_mode", "system"},
        {IN_CHILD, "updown", ""},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (load(good[i].place, good[i].key, good[i].value) != 0)
            fail_msg("%s = %s: %s", good[i].key, good[i].value, err.text);
        assert_string_equal(warnings, "");
    }
}

static void test_keys_bad_values_name_key_value_and_expectation(void **state)
{
    (void)state;
    static const struct {
        enum place place;
        const char *key, *value, *expected;
    } bad[] = {
        {IN_CONN, "version", "1", "only IKEv2"},
        {IN_CONN, "local_port", "65536", "500 or 4500"},
        {IN_CONN, "local_port", "4500", "goes with a remote_port"},
        {IN_CONN, "remote_port", "65536", "a port from 0 to 65535"},
        {IN_CONN, "encap", "perhaps", "yes or no"},
        {IN_CONN, "unique", "sometimes", "one of no, never, keep, replace"},
        {IN_CONN, "dpd_delay", "soon", "a time"},
        {IN_CONN, "keyingtries", "-1", "a number from 0"},
        {IN_CONN, "rekey_time", "1y", "a time"},
        {IN_CONN, "fragmentation", "force", "force belongs to IKEv1"},
        {IN_CONN, "childless", "always", "expected one of allow, prefer, force, never"},
        {IN_CONN, "send_cert", "x", "one of"},
        {IN_CONN, "local_addrs", "west.example", "an IP address or %any"},
        {IN_CONN, "remote_addrs", "fe80::1", "IPv6"},
        {IN_CONN, "remote_addrs", "10.0.0.0/24", "an IP address"},
        {IN_CONN, "proposals", "aes999-sha256-x25519", "'aes999'"},
        {IN_CONN, "vips", "10.0.0.0/24", "an IP address"},
        {IN_CONN, "pools", "", "the name of a pool"},
        {IN_CONN, "ppk_required", "yes", "goes with ppk_id"},
        {IN_CONN, "if_id_out", "5", "expected the same as if_id_in"},
        {IN_CONN, "if_id_in", "%unique", "a number from 0"},
        {IN_CONN, "mediation", "yes", "mediation"},
        {IN_REMOTE, "groups", "g", "group"},
        {IN_LOCAL, "aaa_id", "x", "it goes with auth = eap-tls"},
        {IN_CHILD, "mode", "beet", "expected tunnel, transport, pass or drop"},
        {IN_CHILD, "ah_proposals", "aes256-sha256", "'aes256' has no place in an AH proposal"},
        {IN_CHILD, "ah_proposals", "md5", "'md5' is refused"},
        {IN_CHILD, "ipcomp", "yes", "IPComp"},
        {IN_CHILD, "updown", "/bin/sh", "updown"},
        {IN_CHILD, "policies", "no", "without policies"},
        {IN_CHILD, "replay_window", "1025", "0 to 1024"},
        {IN_CHILD, "life_bytes", "1t", "a number of octets"},
        {IN_CHILD, "rekey_packets", "x", "a number"},
        {IN_CHILD, "dpd_action", "explode", "one of"},
        {IN_CHILD, "start_action", "none|start", "one of"},
        {IN_CHILD, "start_action", "go", "one of"},
        {IN_CHILD, "mark_out", "42", "marks"},
        {IN_CHILD, "set_mark_in", "1", "marks"},
        {IN_CHILD, "mark_in_sa", "yes", "marks"},
        {IN_CHILD, "tfc_padding", "65536", "a number of octets from 0 to 65535, or mtu"},
        {IN_CHILD, "tfc_padding", "MTU", "a number of octets from 0 to 65535, or mtu"},
        {IN_CHILD, "tfc_dummies", "101", "a number of packets a second from 0 to 100"},
        {IN_CHILD, "tfc_dummies", "-1", "a number of packets a second from 0 to 100"},
        {IN_CHILD, "interface", "eth0", "interface"},
        {IN_CHILD, "hw_offload", "card", "one of no, auto, yes, crypto, packet"},
        {IN_CHILD, "sha256_96", "yes", "truncation"},
        {IN_CHILD, "copy_dscp", "up", "one of out, in, yes, no"},
        {IN_CHILD, "label", "s", "labels"},
        {IN_CHILD, "per_cpu_sas", "yes", "per CPU"},
        {IN_CHILD, "local_ts", "10.0.0.0/33", "a prefix length"},
        {IN_CHILD, "remote_ts", "10.0.0.0/8[tcp/99999]", "a port"},
        {IN_CHILD, "esp_proposals", "aes256-modp2048", "an integrity algorithm is missing"},
        {IN_CHILD, "esp_proposals", "3des-sha256", "'3des' is refused"},
        {IN_CHILD, "esp_proposals", "aes256-md5", "'md5' is refused"},
        {IN_CHILD, "esp_proposals", "aes256gcm16-prfsha256", "no place"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (load(bad[i].place, bad[i].key, bad[i].value) != -EINVAL)
            fail_msg("%s = %s was taken", bad[i].key, bad[i].value);
        assert_string_equal(err.field, bad[i].key);
        assert_text(bad[i].key);
        assert_text(bad[i].expected);
        assert_text("config discarded");
    }
}

static void test_unknown_options_are_refused_by_name_everywhere(void **state)
{
    (void)state;
    for (int place = IN_CONN; place < NOWHERE; place++) {
        assert_int_equal(load((enum place)place, "frobnicate", "1"), -EINVAL);
        assert_string_equal(err.text, "unknown option: frobnicate, config discarded");
        assert_string_equal(err.field, "frobnicate");
    }
}

static void test_keys_that_have_effect_warn_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(load(IN_CHILD, "inactivity", "10m"), 0);
    assert_int_equal(conn.children[0].inactivity, 600);
    assert_string_equal(warnings, "");
    assert_int_equal(load(IN_CONN, "mobike", "yes"), 0);
    assert_true(conn.mobike);
    assert_string_equal(warnings, "");
}

// Each is told with its place; the first is the one that the error is about.
static void test_all_faults_of_a_connection_are_told(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    vici_put(&o, "encap", "perhaps");
    vici_section(&o, "local");
    vici_put(&o, "auth", "eap");
    vici_put(&o, "nonsense", "1");
    vici_section_end(&o);
    vici_section(&o, "children");
    for (int i = 0; i < 2; i++) {
        vici_section(&o, i ? "b" : "a");
        vici_put(&o, "mode", i ? "beet" : "tunnel");
        vici_list(&o, "remote_ts");
        vici_item(&o, "10.0.0.0/33");
        vici_item(&o, "10.1.0.0/16");
        vici_item(&o, "all");
        vici_list_end(&o);
        vici_section_end(&o);
    }
    vici_section_end(&o);
    vici_section_end(&o);
    assert_int_equal(load_out(&o), -EINVAL);
    assert_string_equal(err.text,
                        "invalid value for: encap: 'perhaps', expected yes or no, config discarded");
    assert_string_equal(
        faults,
        "gw: invalid value for: encap: 'perhaps', expected yes or no\n"
        "gw.local: invalid value for: auth: 'eap': of EAP there are eap-mschapv2 and eap-tls; "
        "expected psk or pubkey\n"
        "gw.local: unknown option: nonsense\n"
        "gw.children.a: invalid value for: remote_ts: '33': expected a prefix length from 0 to 32\n"
        "gw.children.a: invalid value for: remote_ts: 'all': expected an address, a subnet, a range or "
        "dynamic\n"
        "gw.children.b: invalid value for: mode: 'beet', expected tunnel, transport, pass or drop\n"
        "gw.children.b: invalid value for: remote_ts: '33': expected a prefix length from 0 to 32\n"
        "gw.children.b: invalid value for: remote_ts: 'all': expected an address, a subnet, a range or "
        "dynamic\n"
        "gw: remote is missing: expected a section with auth = psk or pubkey\n");
    assert_int_equal(conn.child_count, 0);
    assert_null(conn.children);
}

static int load_both(const char *key, const char *value, const char *key2, const char *value2)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    for (int i = 0; i < 2; i++) {
        vici_section(&o, i ? "remote" : "local");
        vici_put(&o, "auth", "psk");
        vici_section_end(&o);
    }
    vici_section(&o, "children");
    vici_section(&o, "net");
    vici_put(&o, key, value);
    vici_put(&o, key2, value2);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    return load_out(&o);
}

static void test_modes_are_an_action_and_a_mode(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t action, mode;
    } want[] = {{"tunnel", POLICY_PROTECT, MODE_TUNNEL},
                {"transport", POLICY_PROTECT, MODE_TRANSPORT},
                {"pass", POLICY_BYPASS, MODE_TUNNEL},
                {"drop", POLICY_DISCARD, MODE_TUNNEL}};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_int_equal(load_both("mode", want[i].text, "priority", "5"), 0);
        assert_string_equal(warnings, "");
        assert_int_equal(conn.children[0].action, want[i].action);
        assert_int_equal(conn.children[0].mode, want[i].mode);
        assert_int_equal(conn.children[0].priority, 5);
    }
}

// A policy without an SA needs nobody to authenticate; one child that protects does.
static void test_connection_of_policies_alone_needs_no_auth(void **state)
{
    (void)state;
    for (int protect = 0; protect < 2; protect++) {
        struct vici_out o;
        vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
        vici_section(&o, "lan");
        vici_section(&o, "children");
        vici_section(&o, "a");
        vici_put(&o, "mode", "pass");
        vici_section_end(&o);
        vici_section(&o, "b");
        vici_put(&o, "mode", protect ? "tunnel" : "drop");
        vici_section_end(&o);
        vici_section_end(&o);
        vici_section_end(&o);
        assert_int_equal(load_out(&o), protect ? -EINVAL : 0);
    }
    assert_text("local is missing");
}

static void test_lifetimes_are_compared(void **state)
{
    (void)state;
    assert_int_equal(load(IN_CHILD, "life_time", "33m"), 0); // alone: rekeyed in time
    assert_int_equal(conn.children[0].life_time, 33 * 60);
    assert_int_equal(conn.children[0].rekey_time, 30 * 60);
    assert_int_equal(load(IN_CHILD, "life_time", "2h"), 0);
    assert_int_equal(conn.children[0].rekey_time, 3600);
    assert_int_equal(load_both("rekey_time", "2h", "life_time", "1h"), 0); // as charon: said, and taken
    assert_int_equal(conn.children[0].life_time, 3600);
    assert_non_null(strstr(warnings, "gw.children.net: rekey_time 7200s is not below life_time 3600s"));
}

// A tenth of some seconds is none.
static void test_ike_sa_without_a_margin_is_warned_of(void **state)
{
    (void)state;
    assert_int_equal(load(IN_CONN, "rekey_time", "10s"), 0);
    assert_int_equal(conn.over_time, 1);
    assert_string_equal(warnings, "");
    assert_int_equal(load(IN_CONN, "rekey_time", "9s"), 0);
    assert_int_equal(conn.over_time, 0);
    assert_non_null(
        strstr(warnings, "gw: over_time 0s behind rekey_time 9s: the IKE SAs end without being rekeyed"));
    assert_int_equal(load(IN_CONN, "reauth_time", "9s"), 0);
    assert_non_null(strstr(warnings, "behind reauth_time 9s: the IKE SAs end without being reauthenticated"));
    assert_int_equal(load(IN_CONN, "over_time", "0s"), 0); // of four hours, as it was asked for
    assert_non_null(strstr(warnings, "gw: over_time 0s behind rekey_time 14400s"));
    assert_int_equal(load(IN_CONN, "rekey_time", "0s"), 0); // it has no end
    assert_string_equal(warnings, "");
}

// swanctl.conf(5), and what charon 5.9.8 makes of each.
static void test_lifetimes_left_out_follow_from_those_given(void **state)
{
    (void)state;
    assert_int_equal(load_both("rekey_bytes", "1000", "rand_packets", "7"), 0);
    const struct child_config *c = conn.children;
    assert_true(c->rekey_bytes == 1000 && c->life_bytes == 1100 && c->rand_bytes == 100);
    assert_true(c->rekey_packets == 0 && c->life_packets == 0 && c->rand_packets == 7);
    assert_int_equal(load_both("life_packets", "110", "rekey_time", "0"), 0);
    c = conn.children;
    assert_true(c->rekey_packets == 100 && c->life_packets == 110 && c->rand_packets == 10);
    assert_true(c->rekey_time == 0 && c->life_time == 0 && c->rand_time == 0);
    assert_int_equal(load_both("rekey_time", "10m", "rand_time", "5"), 0);
    c = conn.children;
    assert_true(c->rekey_time == 600 && c->life_time == 660 && c->rand_time == 5);
    assert_int_equal(load_both("rekey_bytes", "18446744073709551614", "life_time", "0"), 0);
    c = conn.children;
    assert_true(c->life_bytes == UINT64_MAX - 1 && c->rand_bytes == 0);
    assert_true(c->life_time == 0 && c->rekey_time == 3600);
}

static void test_ike_times_left_out_follow_from_those_given(void **state)
{
    (void)state;
    assert_int_equal(load(IN_CONN, "reauth_time", "1h"), 0); // instead of a rekeying, as with charon
    assert_true(conn.reauth_time == 3600 && conn.rekey_time == 0);
    assert_true(conn.over_time == 360 && conn.rand_time == 360);
    assert_int_equal(load(IN_CONN, "over_time", "3h"), 0); // never more than half of the time itself
    assert_true(conn.rekey_time == 4 * 3600 && conn.over_time == 3 * 3600 && conn.rand_time == 2 * 3600);
    assert_int_equal(load(IN_CONN, "rand_time", "1m"), 0);
    assert_true(conn.rand_time == 60 && conn.over_time == 4 * 360);
    assert_int_equal(load(IN_CONN, "rekey_time", "0"), 0);
    assert_true(conn.rekey_time == 0 && conn.over_time == 0 && conn.rand_time == 0);
}

static void test_auth_sections(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    vici_section_end(&o);
    assert_int_equal(load_out(&o), -EINVAL);
    assert_text("local is missing");
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    vici_section(&o, "local-1");
    vici_put(&o, "auth", "psk");
    vici_section_end(&o);
    vici_section(&o, "local-2");
    vici_put(&o, "auth", "psk");
    vici_section_end(&o);
    vici_section_end(&o);
    assert_int_equal(load_out(&o), -EINVAL);
    assert_text("remote is missing");
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    vici_section(&o, "local-1");
    vici_section_end(&o);
    vici_section(&o, "remote");
    vici_put(&o, "id", "east.lab");
    vici_section_end(&o);
    vici_section_end(&o);
    assert_int_equal(load_out(&o), 0); // pubkey, as charon has it
    assert_int_equal(conn.local.auth, AUTH_PUBKEY);
    assert_int_equal(conn.remote.auth, AUTH_PUBKEY);
}

static void put_side(struct vici_out *o, const char *name, const char *auth, const char *id,
                     const char *round)
{
    vici_section(o, name);
    vici_put(o, "auth", auth);
    vici_put(o, "id", id);
    if (round)
        vici_put(o, "round", round);
    vici_section_end(o);
}

// A connection of these local and remote sections; NULL: there is no second one.
static int load_rounds(const char *const local[2], const char *const remote[2], const char *round)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    put_side(&o, "local-1", local[0], "one.lab", round);
    if (local[1])
        put_side(&o, "local-2", local[1], "two.lab", NULL);
    put_side(&o, "remote-1", remote[0], "three.lab", NULL);
    if (remote[1])
        put_side(&o, "remote-2", remote[1], "four.lab", round);
    vici_section_end(&o);
    return load_out(&o);
}

static void test_two_rounds_of_authentication_are_read_in_their_order(void **state)
{
    static const char *const two[2] = {"psk", "eap-mschapv2"}, *const one[2] = {"psk", NULL};
    (void)state;
    assert_int_equal(load_rounds(two, one, NULL), 0);
    assert_true(conn.local.auth == AUTH_PSK && conn.local_more && conn.local_more->side.auth == AUTH_EAP);
    assert_string_equal(conn.local_more->side.id, "two.lab");
    assert_null(conn.remote_more);
    static const char *const psks[2] = {"psk", "psk"};
    assert_int_equal(load_rounds(psks, psks, "7"), 0); // local-1 is the second one then, and remote-2 too
    assert_string_equal(conn.local.id, "two.lab");
    assert_string_equal(conn.local_more->side.id, "one.lab");
    assert_string_equal(conn.remote.id, "three.lab");
    assert_string_equal(conn.remote_more->side.id, "four.lab");
    uint8_t buf[8192];
    struct writer w = writer_of(buf, sizeof(buf));
    struct conn_config again;
    conn_write(&w, &conn);
    struct reader r = reader_of(wr_written(&w));
    assert_true(conn_read(&r, &again) && rd_done(&r));
    assert_string_equal(again.local_more->side.id, "one.lab");
    assert_int_equal(again.remote_more->side.auth, AUTH_PSK);
    conn_clear(&again);
}

// As local-1, local-2 …, with identities a, b …; round: a letter each, NULL: in none.
static int load_many(const char *const *auth, const char *round)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    for (int i = 0; auth[i]; i++) {
        char name[24], id[2] = {(char)('a' + i), 0}, number[2] = {round ? round[i] : 0, 0};
        snprintf(name, sizeof(name), "local-%d", i + 1);
        put_side(&o, name, auth[i], id, round ? number : NULL);
    }
    put_side(&o, "remote", "psk", "z", NULL);
    vici_section_end(&o);
    return load_out(&o);
}

static void assert_order(const struct conn_config *c, const char *ids)
{
    assert_int_equal(conn_rounds(c, true), strlen(ids));
    for (unsigned i = 0; ids[i]; i++) {
        const char id[2] = {ids[i], 0};
        assert_string_equal(conn_round(c, true, i)->id, id);
    }
}

static void test_four_rounds_are_read_in_their_order(void **state)
{
    static const char *const psk[] = {"psk", "psk", "psk", "psk", NULL};
    static const struct {
        const char *round, *ids;
    } cases[] = {{NULL, "abcd"}, {"4321", "dcba"}, {"2212", "cabd"}, {"3312", "cdab"}, {"1111", "abcd"}};
    uint8_t buf[8192];
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct writer w = writer_of(buf, sizeof(buf));
        struct conn_config again;
        assert_int_equal(load_many(psk, cases[i].round), 0);
        assert_order(&conn, cases[i].ids);
        conn_write(&w, &conn);
        struct reader r = reader_of(wr_written(&w));
        assert_true(conn_read(&r, &again) && rd_done(&r));
        assert_order(&again, cases[i].ids);
        conn_clear(&again);
    }
}

static void test_rounds_that_do_not_go_together_are_refused(void **state)
{
    static const char *const psk[2] = {"psk", NULL}, *const psks[2] = {"psk", "psk"},
                             *const eap_first[2] = {"eap-mschapv2", "psk"},
                             *const eap[2] = {"psk", "eap-mschapv2"}, *const tls[2] = {"psk", "eap-tls"};
    (void)state;
    assert_int_equal(load_rounds(eap_first, psk, NULL), -EINVAL);
    assert_int_equal(load_rounds(psk, eap_first, NULL), -EINVAL);
    assert_int_equal(load_rounds(eap, eap, NULL), -EINVAL);
    assert_text("the last rounds of both ends are EAP");
    assert_int_equal(load_rounds(eap, psks, NULL), -EINVAL);
    assert_text("a last round by EAP goes with one of certificates");
    assert_int_equal(load_rounds(psk, tls, NULL), -EINVAL);
    assert_text("eap-tls as the last round goes with a local first one of certificates");
    static const char *const late[] = {"psk", "eap-mschapv2", "psk", NULL};
    assert_int_equal(load_many(late, NULL), -EINVAL);
    assert_text("of several rounds of authentication EAP is the last one");
    static const char *const five[] = {"psk", "psk", "psk", "psk", "psk", NULL};
    assert_int_equal(load_many(five, NULL), -EINVAL);
    assert_text("more than four rounds of authentication");
}

static void test_lists_and_structure(void **state)
{
    (void)state;
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    vici_list(&o, "version");
    vici_list_end(&o);
    vici_section_end(&o);
    assert_int_equal(load_out(&o), -EINVAL);
    assert_text("invalid value for: version: expected text");
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    vici_section(&o, "children");
    vici_put(&o, "net", "x");
    vici_section_end(&o);
    vici_section_end(&o);
    assert_int_equal(load_out(&o), -EINVAL);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    vici_list(&o, "local_addrs");
    for (int i = 0; i < ADDRS_MAX + 1; i++)
        vici_item(&o, "10.0.0.1");
    vici_list_end(&o);
    vici_section_end(&o);
    assert_int_equal(load_out(&o), -EINVAL);
    assert_text("more than 32 addresses");
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    vici_put_blob(&o, "version", "2\0x", 3);
    vici_section_end(&o);
    assert_int_equal(load_out(&o), -EINVAL);
}

static void test_selectors_take_protocols_by_name_and_types_of_icmp(void **state)
{
    (void)state;
    const struct ts *t;
    assert_int_equal(load(IN_CHILD, "remote_ts", "10.2.0.0/16[ospf]"), 0);
    assert_int_equal(conn.children[0].remote_ts->t[0].proto, 89);
    assert_int_equal(load(IN_CHILD, "remote_ts", "10.2.0.0/16[icmp/8]"), 0);
    t = &conn.children[0].remote_ts->t[0];
    assert_true(t->proto == 1 && t->port_lo == 0x800 && t->port_hi == 0x800);
    assert_int_equal(load(IN_CHILD, "remote_ts", "10.2.0.0/16[tcp/opaque]"), 0);
    t = &conn.children[0].remote_ts->t[0];
    assert_true(t->proto == 6 && ts_opaque(t));
}

static void test_types_and_codes_of_icmp_are_read_and_written_as_charon_does(void **state)
{
    static const struct {
        const char *text, *written;
        uint16_t lo, hi;
    } good[] = {{"icmp/8", "icmp/8", 0x800, 0x800},
                {"icmp/8(0)", "icmp/8", 0x800, 0x800},
                {"icmp/3(1)", "icmp/3(1)", 0x301, 0x301},
                {"icmp/769", "icmp/3(1)", 0x301, 0x301},
                {"icmp/3(1)-3(4)", "icmp/3(1)-3(4)", 0x301, 0x304},
                {"icmp/3-4(255)", "icmp/3-4(255)", 0x300, 0x4ff},
                {"icmp/0", "icmp/0", 0, 0},
                {"icmp/255(255)", "icmp/255(255)", 65535, 65535},
                {"1/any", "icmp", 0, 65535},
                {"ipv6-icmp/128(1)", "ipv6-icmp/128(1)", 0x8001, 0x8001},
                {"icmpv6/2-4", "ipv6-icmp/2-4", 0x200, 0x400}};
    static const char *const bad[] = {"icmp/8(",     "icmp/8()",    "icmp/(1)",       "icmp/8(256)",
                                      "icmp/256(1)", "icmp/8(1)x",  "icmp/3(4)-3(1)", "icmp/8(1)-",
                                      "icmp/echo",   "icmp/8((1))", "tcp/8(1)",       "icmp/65536",
                                      "icmp/-8",     "icmp/8(-1)"};
    char text[80], want[80], buf[128];
    (void)state;
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(text, sizeof(text), "10.2.0.0/16[%s]", good[i].text);
        snprintf(want, sizeof(want), "10.2.0.0/16[%s]", good[i].written);
        assert_int_equal(load(IN_CHILD, "remote_ts", text), 0);
        const struct ts *t = &conn.children[0].remote_ts->t[0];
        assert_true(t->port_lo == good[i].lo && t->port_hi == good[i].hi);
        assert_string_equal(ts_print(t, buf, sizeof(buf)), want);
    }
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "10.2.0.0/16[%s]", bad[i]);
        if (load(IN_CHILD, "remote_ts", text) != -EINVAL)
            fail_msg("%s was taken", text);
    }
}

static void test_no_window_takes_the_short_sequence_numbers_or_is_refused(void **state)
{
    (void)state;
    struct vici_out o;
    for (int both = 0; both < 2; both++) {
        vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
        vici_section(&o, "gw");
        for (int i = 0; i < 2; i++) {
            vici_section(&o, i ? "local" : "remote");
            vici_put(&o, "auth", "psk");
            vici_section_end(&o);
        }
        vici_section(&o, "children");
        vici_section(&o, "net");
        vici_put(&o, "replay_window", "0");
        vici_put(&o, "esp_proposals", both ? "aes256gcm16-esn-noesn" : "aes256gcm16-esn");
        vici_section_end(&o);
        vici_section_end(&o);
        vici_section_end(&o);
        assert_int_equal(load_out(&o), both ? 0 : -EINVAL);
        if (!both)
            assert_text("replay_window = 0 does not go with esn");
    }
    const struct proposal *p = &conn.children[0].proposals[0];
    assert_int_equal(p->count, 2);
    assert_true(p->t[1].type == TR_ESN && p->t[1].id == TRID_NO_ESN);
}

// There the end of what is inside would not be known.
static void test_tfc_padding_is_of_esp_in_tunnel_mode(void **state)
{
    (void)state;
    struct vici_out o;
    for (int i = 0; i < 4; i++) {
        vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
        vici_section(&o, "gw");
        for (int side = 0; side < 2; side++) {
            vici_section(&o, side ? "local" : "remote");
            vici_put(&o, "auth", "psk");
            vici_section_end(&o);
        }
        vici_section(&o, "children");
        vici_section(&o, "net");
        vici_put(&o, "tfc_padding", i == 3 ? "1200" : "mtu");
        vici_put(&o, i == 1 ? "ah_proposals" : "esp_proposals", i == 1 ? "sha256" : "aes256gcm16");
        vici_put(&o, "mode", i == 2 ? "transport" : "tunnel");
        vici_section_end(&o);
        vici_section_end(&o);
        vici_section_end(&o);
        assert_int_equal(load_out(&o), i % 3 ? -EINVAL : 0);
        if (i % 3) {
            assert_string_equal(err.field, "tfc_padding");
            assert_text(i == 1 ? "does not go with ah_proposals" : "does not go with mode = transport");
        } else {
            assert_int_equal(conn.children[0].tfc_padding, i ? 1200 : 65535);
        }
    }
}

// Their length would tell them from what they are to hide.
static void test_dummy_packets_need_padding(void **state)
{
    (void)state;
    struct vici_out o;
    for (int padded = 0; padded < 2; padded++) {
        vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
        vici_section(&o, "gw");
        for (int side = 0; side < 2; side++) {
            vici_section(&o, side ? "local" : "remote");
            vici_put(&o, "auth", "psk");
            vici_section_end(&o);
        }
        vici_section(&o, "children");
        vici_section(&o, "net");
        vici_put(&o, "tfc_dummies", "20");
        vici_put(&o, "tfc_padding", padded ? "mtu" : "0");
        vici_section_end(&o);
        vici_section_end(&o);
        vici_section_end(&o);
        assert_int_equal(load_out(&o), padded ? 0 : -EINVAL);
        if (padded) {
            assert_int_equal(conn.children[0].tfc_dummies, 20);
        } else {
            assert_string_equal(err.field, "tfc_dummies");
            assert_text("it needs tfc_padding");
        }
    }
}

static void put_list(struct vici_out *o, const char *name, const char *items)
{
    char copy[200], *save;
    snprintf(copy, sizeof(copy), "%s", items);
    vici_list(o, name);
    for (char *one = strtok_r(copy, ",", &save); one; one = strtok_r(NULL, ",", &save))
        vici_item(o, one);
    vici_list_end(o);
}

static int load_selectors(const char *const v[5])
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    if (v[4])
        vici_put(&o, "if_id_in", v[4]), vici_put(&o, "if_id_out", v[4]);
    for (int side = 0; side < 2; side++) {
        vici_section(&o, side ? "local" : "remote");
        vici_put(&o, "auth", "psk");
        vici_section_end(&o);
    }
    vici_section(&o, "children");
    vici_section(&o, "net");
    put_list(&o, "local_ts", v[0]);
    put_list(&o, "remote_ts", v[1]);
    vici_put(&o, "mode", v[2]);
    if (v[3])
        vici_put(&o, "if_id_in", v[3]), vici_put(&o, "if_id_out", v[3]);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    return load_out(&o);
}

// Nothing would tell what is to go into the tunnel from what has come out of it. With a device of its own
// that is said by the device, of the child or of its connection; the rest is no network on both sides.
static void test_one_network_on_both_sides_needs_a_device_of_its_own(void **state)
{
    static const char *const refused[][5] = {
        {"0.0.0.0/0", "0.0.0.0/0", "tunnel"},
        {"10.1.0.0/16,::/0", "10.2.0.0/16,::/0", "tunnel"},
        {"10.0.0.0/8", "10.0.0.0-10.255.255.255", "tunnel"},
        {"0.0.0.0/0[tcp]", "0.0.0.0/0[tcp]", "tunnel"},
        {"0.0.0.0/0", "0.0.0.0/0[tcp]", "tunnel"},
        {"0.0.0.0/0[icmp]", "0.0.0.0/0[icmp/2048]", "tunnel"}, // types stand there both ways
    };
    static const char *const taken[][5] = {
        {"0.0.0.0/0", "0.0.0.0/0", "tunnel", "7"},
        {"0.0.0.0/0", "0.0.0.0/0", "tunnel", NULL, "7"},
        {"0.0.0.0/0", "0.0.0.0/0", "pass"},
        {"0.0.0.0/0", "0.0.0.0/0", "drop"},
        {"10.0.0.0/8", "0.0.0.0/0", "tunnel"},
        {"0.0.0.0/0", "dynamic", "tunnel"},
        {"dynamic", "dynamic", "tunnel"},
        {"0.0.0.0/0", "::/0", "tunnel"},
        {"0.0.0.0/0[tcp/179]", "0.0.0.0/0[tcp]", "tunnel"},
        {"0.0.0.0/0[tcp]", "0.0.0.0/0[udp]", "tunnel"},
        {"10.1.0.1/32", "10.1.0.1/32", "tunnel"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(load_selectors(refused[i]), -EINVAL);
        assert_string_equal(err.field, "remote_ts");
        assert_text("on both sides leaves open which way forwarded packets go: set if_id_in and if_id_out");
    }
    for (unsigned i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (load_selectors(taken[i]) != 0)
            fail_msg("%s === %s is refused: %s", taken[i][0], taken[i][1], err.text);
}

static int load_route(const char *const line[4][2], const char *mode, const char *remote)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    for (int side = 0; side < 2; side++) {
        vici_section(&o, side ? "local" : "remote");
        vici_put(&o, "auth", "psk");
        vici_section_end(&o);
    }
    vici_section(&o, "children");
    vici_section(&o, "net");
    vici_put(&o, "mode", mode);
    vici_list(&o, "local_ts");
    vici_item(&o, "10.1.0.0/16");
    vici_list_end(&o);
    vici_list(&o, "remote_ts");
    vici_item(&o, remote);
    vici_list_end(&o);
    for (int i = 0; i < 4 && line[i][0]; i++)
        vici_put(&o, line[i][0], line[i][1]);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_put(&o, "if_id_in", "5");
    vici_put(&o, "if_id_out", "5");
    vici_section_end(&o);
    return load_out(&o);
}

static void test_routes_into_a_tunnel_and_whom_it_asks(void **state)
{
    (void)state;
    static const char *const good[4][2] = {
        {"route_metric", "10"}, {"probe", "10.2.0.1"}, {"probe_from", "10.1.255.1"}, {"probe_delay", "2s"}};
    assert_int_equal(load_route(good, "tunnel", "10.2.0.0/16"), 0);
    const struct child_config *c = &conn.children[0];
    assert_int_equal(c->route->metric, 10);
    assert_int_equal(c->route->probe_delay, 2);
    assert_int_equal(c->route->probe.a[1], 2);
    assert_int_equal(c->route->probe_from.a[2], 255);
    static const struct {
        const char *line[4][2], *mode, *remote, *field, *text;
    } bad[] = {
        {{{"route_metric", "64"}}, "tunnel", "10.2.0.0/16", "route_metric", "from 0 to 63"},
        {{{"route_metric", "1"}}, "transport", "10.2.0.0/16", "route_metric", "mode = tunnel alone"},
        {{{"route_metric", "1"}}, "tunnel", "dynamic", "route_metric", "where dynamic leads is not known"},
        {{{"route_metric", "1"}, {"start_action", "trap"}},
         "tunnel",
         "10.2.0.0/16",
         "route_metric",
         "use start"},
        {{{"probe", "10.2.0.1"}}, "tunnel", "10.2.0.0/16", "probe", "set route_metric"},
        {{{"route_metric", "1"}, {"probe", "10.3.0.1"}},
         "tunnel",
         "10.2.0.0/16",
         "probe",
         "no address of remote_ts"},
        {{{"route_metric", "1"}, {"probe", "0.0.0.0"}},
         "tunnel",
         "10.2.0.0/16",
         "probe",
         "expected the IP address"},
        {{{"route_metric", "1"}, {"probe", "10.2.0.1"}, {"probe_delay", "0"}},
         "tunnel",
         "10.2.0.0/16",
         "probe_delay",
         "a time of 1s or more"},
        {{{"route_metric", "1"}, {"probe", "10.2.0.1"}, {"probe_from", "10.4.0.1"}},
         "tunnel",
         "10.2.0.0/16",
         "probe_from",
         "no address of local_ts"},
        {{{"route_metric", "1"}, {"probe", "10.2.0.1"}, {"probe_from", "fd01::1"}},
         "tunnel",
         "10.2.0.0/16",
         "probe_from",
         "of its family"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(load_route(bad[i].line, bad[i].mode, bad[i].remote), -EINVAL);
        assert_string_equal(err.field, bad[i].field);
        assert_text(bad[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes_into_a_tunnel_and_whom_it_asks),
        cmocka_unit_test(test_any_address_stays_beside_others),
        cmocka_unit_test(test_defaults_are_charons),
        cmocka_unit_test(test_keys_good_values),
        cmocka_unit_test(test_keys_bad_values_name_key_value_and_expectation),
        cmocka_unit_test(test_unknown_options_are_refused_by_name_everywhere),
        cmocka_unit_test(test_keys_that_have_effect_warn_of_nothing),
        cmocka_unit_test(test_all_faults_of_a_connection_are_told),
        cmocka_unit_test(test_modes_are_an_action_and_a_mode),
        cmocka_unit_test(test_connection_of_policies_alone_needs_no_auth),
        cmocka_unit_test(test_lifetimes_are_compared),
        cmocka_unit_test(test_ike_sa_without_a_margin_is_warned_of),
        cmocka_unit_test(test_lifetimes_left_out_follow_from_those_given),
        cmocka_unit_test(test_ike_times_left_out_follow_from_those_given),
        cmocka_unit_test(test_auth_sections),
        cmocka_unit_test(test_two_rounds_of_authentication_are_read_in_their_order),
        cmocka_unit_test(test_four_rounds_are_read_in_their_order),
        cmocka_unit_test(test_rounds_that_do_not_go_together_are_refused),
        cmocka_unit_test(test_lists_and_structure),
        cmocka_unit_test(test_selectors_take_protocols_by_name_and_types_of_icmp),
        cmocka_unit_test(test_types_and_codes_of_icmp_are_read_and_written_as_charon_does),
        cmocka_unit_test(test_no_window_takes_the_short_sequence_numbers_or_is_refused),
        cmocka_unit_test(test_tfc_padding_is_of_esp_in_tunnel_mode),
        cmocka_unit_test(test_dummy_packets_need_padding),
        cmocka_unit_test(test_one_network_on_both_sides_needs_a_device_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
