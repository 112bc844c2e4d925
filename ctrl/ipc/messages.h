// SPDX-License-Identifier: Apache-2.0
// Every message between the daemon's processes, as one list: it makes the numbers, the structs, the codec and
// the names. Fields are F(kind, name, size): U8 U16 U32 U64, STR zero-terminated text in a char[size], BLOB
// bytes (a slice into the received message), ADDR, TSL. A request carries req (chosen by the asker,
// non-zero); its answers carry the same one. Secrets travel only where a comment says so: ctl -> keys, and
// keys -> path.
#ifndef CTRL_IPC_MESSAGES_H
#define CTRL_IPC_MESSAGES_H

// clang-format off

// ---- any room <-> supervisor
#define MSG_READY_FIELDS(F)       F(U8, room, 0)                                   // child -> supervisor: I serve
#define MSG_GO_FIELDS(F)          F(U8, unused, 0)                                 // supervisor -> ctl: all rooms are ready, or were when this one was started again
#define MSG_SERVING_FIELDS(F)     F(U8, unused, 0)                                 // ctl -> supervisor: VICI is open
#define MSG_WHOLE_FIELDS(F)       F(U32, pid, 0) F(U8, missing, 0)                    // ctl -> supervisor, ike: that ike has been given all that the last one had; missing: but for connections that it has refused so far. Once more when it has those too
#define MSG_SHUTDOWN_FIELDS(F)    F(U8, soon, 0) F(U8, orderly, 0)                 // supervisor -> child; ike answers after its DELETEs. soon: path goes on till the next. orderly: nothing has failed
#define MSG_SHUTDOWN_DONE_FIELDS(F) F(U8, room, 0)                                 // child -> supervisor
#define MSG_RELOAD_FIELDS(F)      F(U32, req, 0)                                   // ctl -> supervisor: reread the settings file
#define MSG_SETTINGS_FIELDS(F)    F(BLOB, settings, 0)                             // supervisor -> children: struct settings, same binary
#define MSG_ROOM_PID_FIELDS(F)    F(U8, room, 0) F(U32, pid, 0)                       // supervisor -> ctl, metrics: when all are ready, and when one was started again; pid 0: it has died, and will be: of path to ike and keys, too
#define MSG_CHANNEL_FIELDS(F)     F(U8, room, 0)                                   // supervisor -> child: a new channel to that room, which was started again; in place of the one before
#define MSG_PING_FIELDS(F)        F(U32, number, 0)                                // supervisor -> child: does your loop turn?
#define MSG_PONG_FIELDS(F)        F(U32, number, 0)                                // child -> supervisor: it does; the channel itself answers
// ---- any room -> ctl
#define MSG_LOG_FIELDS(F) F(U8, room, 0) F(U8, subsys, 0) F(U8, level, 0) F(STR, ike_name, NAME_MAX_LEN) F(U32, ike_id, 0) F(STR, text, 1024)
// ctl -> the others: whether anybody takes LOG, what comes unasked of SAs (IKE_UPDOWN ... IKE_MOVES), and ALERT. Until it says so, they
// send, but for alerts.
#define MSG_LISTEN_FIELDS(F) F(U8, logs, 0) F(U8, events, 0) F(U8, alerts, 0)
#define MSG_RESULT_FIELDS(F) F(U32, req, 0) F(U8, ok, 0) F(STR, text, 1024)           // ends every request; text names what failed
// Lists come in pages, so that no list is too long for a channel: from is 0 or what the LIST_MORE before said, most
// the number of entries (0, or more than LIST_PAGE_MAX: LIST_PAGE_MAX). What comes or goes between two pages is in
// the list or not; what stays is in it once.
#define MSG_LIST_MORE_FIELDS(F) F(U32, req, 0) F(U64, next, 0)                        // instead of RESULT: the page's end, not the list's
// ---- ctl -> ike
#define MSG_CONN_LOAD_FIELDS(F)   F(U32, req, 0) F(U64, number, 0) F(BLOB, conn, 0)      // conn_write; replaces one of the same name; number: its place in ctl's list. -> RESULT
#define MSG_CONN_UNLOAD_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN)                 // -> RESULT
// What is loaded, for a ctl that takes the place of one that died. -> CONN_IS ..., LIST_MORE or RESULT; not ok, CONN_LIST_BUSY: while one is being loaded or unloaded
#define MSG_CONN_LIST_FIELDS(F)   F(U32, req, 0) F(U64, from, 0) F(U32, most, 0)
#define MSG_INITIATE_FIELDS(F)    F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(U32, timeout_ms, 0) // conn may be empty. -> RESULT
#define MSG_TERMINATE_FIELDS(F)   F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(U32, ike_id, 0) F(U32, child_id, 0) F(U8, force, 0) F(U32, timeout_ms, 0) // -> RESULT (text: number of matches)
#define MSG_IKE_LIST_FIELDS(F)    F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(U32, ike_id, 0) F(U64, from, 0) F(U32, most, 0) // a page: -> IKE_INFO, CHILD_INFO ..., LIST_MORE or RESULT
// Of the matching SAs, as TERMINATE matches them: their CHILD SAs where a child is named, otherwise the IKE SAs themselves,
// which reauth makes anew from scratch; anew: of the CHILD SAs those that have been edited are made anew by what is loaded, before they are closed. -> RESULT (text: number of matches), when they have been asked for
#define MSG_REKEY_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(U32, ike_id, 0) F(U32, child_id, 0) F(U8, reauth, 0) F(U8, anew, 0)
// Clients by connection, number, address (family 0: any) and identity are sent to another gateway (RFC 5685). -> RESULT (text:
// number of matches), when they have been asked for
#define MSG_REDIRECT_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(U32, ike_id, 0) F(ADDR, peer, 0) F(STR, peer_id, 257) F(ADDR, gateway, 0)
#define MSG_IKE_STATS_FIELDS(F)   F(U32, req, 0)                                   // -> IKE_STATS_IS, RESULT
// What has been counted of loaded connections: names, wr_cstr each, at most COUNTS_PAGE. -> CONN_COUNTS, the CHILD_COUNTS of its children ..., RESULT
#define MSG_COUNTS_LIST_FIELDS(F) F(U32, req, 0) F(BLOB, names, 0)
// ---- ike -> ctl (and on to metrics, with its req)
// starts: it is to be up without anybody asking. up: SAs that are there now. Totals are those of the name: they go on over a rekeying, an SA's end and a reload, as long as a
// connection of that name is loaded or an SA of it is there. failed: u64 each of IKE_FAILURE_LIST.
#define MSG_CONN_COUNTS_FIELDS(F)  F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(U8, starts, 0) F(U32, up, 0) F(U64, established, 0) F(U64, rekeyed, 0) F(BLOB, failed, 0)
#define MSG_CHILD_COUNTS_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(U32, up, 0) F(U64, installed, 0) F(U64, rekeyed, 0) F(BLOB, failed, 0) /* as CONN_COUNTS, of CHILD_FAILURE_LIST */ F(U32, failures, 0) F(U32, next_ms, 0) /* as revive_state */
// ---- ike -> ctl
#define MSG_CONN_IS_FIELDS(F)  F(U32, req, 0) F(U64, number, 0) F(BLOB, conn, 0)        // as it came by CONN_LOAD
#define MSG_IKE_INFO_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(U32, id, 0) F(STR, state, 24) F(U8, initiator, 0) \
    F(ADDR, local, 0) F(U16, local_port, 0) F(STR, local_id, 257) F(ADDR, remote, 0) F(U16, remote_port, 0) F(STR, remote_id, 257) \
    F(U64, spi_i, 0) F(U64, spi_r, 0) F(U16, encr, 0) F(U16, encr_bits, 0) F(U16, integ, 0) F(U16, prf, 0) F(U16, ke, 0) \
    F(U32, established_s, 0) F(U32, rekey_s, 0) F(U8, nat_local, 0) F(U8, nat_remote, 0) F(U32, handshake_us, 0) F(U8, ppk, 0) F(U8, edition, 0) /* enum sa_edition */ \
    F(STR, local_vips, 192) F(STR, remote_vips, 192) F(STR, dns, 192) /* virtual addresses, and name servers that came with ours, a blank between two */
#define MSG_CHILD_INFO_FIELDS(F) F(U32, req, 0) F(STR, name, NAME_MAX_LEN) F(U32, id, 0) F(U32, ike_id, 0) F(U32, reqid, 0) F(STR, state, 24) \
    F(U32, spi_in, 0) F(U32, spi_out, 0) F(U16, encr, 0) F(U16, encr_bits, 0) F(U16, integ, 0) F(U8, esn, 0) F(U8, udp_encap, 0) F(U8, mode, 0) F(U32, install_s, 0) F(U32, rekey_s, 0) F(U32, life_s, 0) F(U8, edition, 0) \
    F(TSL, local_ts, 0) F(TSL, remote_ts, 0)
#define MSG_IKE_STATS_IS_FIELDS(F) F(U32, req, 0) F(U32, total, 0) F(U32, half_open, 0) F(BLOB, counters, 0) F(BLOB, handshakes, 0) /* counters: "name value\n" lines; handshakes: u64 each, their us in all, then how many there were of each HANDSHAKE_LIST, and longer ones */
#define MSG_IKE_UPDOWN_FIELDS(F)   F(U8, up, 0) F(STR, conn, NAME_MAX_LEN) F(U32, ike_id, 0)   // then IKE_INFO and CHILD_INFO with req 0
#define MSG_CHILD_UPDOWN_FIELDS(F) F(U8, up, 0) F(STR, conn, NAME_MAX_LEN) F(U32, ike_id, 0) F(U32, child_id, 0) // likewise
#define MSG_IKE_REKEY_FIELDS(F)    F(STR, conn, NAME_MAX_LEN) F(U32, old_id, 0) F(U32, new_id, 0)   // then an IKE_INFO with req 0 of each
#define MSG_CHILD_REKEY_FIELDS(F)  F(STR, conn, NAME_MAX_LEN) F(U32, old_id, 0) F(U32, new_id, 0)   // then IKE_INFO and a CHILD_INFO with req 0 of each
#define MSG_IKE_MOVES_FIELDS(F)    F(STR, conn, NAME_MAX_LEN) F(U32, ike_id, 0) F(ADDR, local, 0) F(U16, local_port, 0) F(ADDR, remote, 0) F(U16, remote_port, 0) // to there; then its IKE_INFO with req 0, as it was
#define MSG_ALERT_FIELDS(F)        F(U8, alert, 0) F(U32, ike_id, 0)                  // enum ike_alert; ike_id 0: of no IKE SA, otherwise then its IKE_INFO with req 0
// ---- ctl -> keys (secret in clear; wiped by ctl after sending)
#define MSG_SECRET_LOAD_FIELDS(F)   F(U32, req, 0) F(STR, id, NAME_MAX_LEN) F(STR, type, 16) F(BLOB, data, 0) F(BLOB, owners, 0) // owners: slice16 each. -> RESULT
#define MSG_SECRET_UNLOAD_FIELDS(F) F(U32, req, 0) F(STR, id, NAME_MAX_LEN)                 // -> RESULT
#define MSG_SECRET_LIST_FIELDS(F)   F(U32, req, 0) F(U64, from, 0) F(U32, most, 0)       // a page: -> SECRET_IS ..., LIST_MORE or RESULT
#define MSG_SECRET_IS_FIELDS(F)     F(U32, req, 0) F(STR, id, NAME_MAX_LEN)
#define MSG_SECRETS_CLEAR_FIELDS(F) F(U32, req, 0)                                 // shared secrets and private keys. -> RESULT
// A private key (DER, unencrypted) by its keyid: the SHA-1 of its public key's bits, as charon names it.
#define MSG_KEY_LOAD_FIELDS(F)   F(U32, req, 0) F(STR, type, 16) F(BLOB, data, 0)          // type: rsa, ecdsa, pkcs8, any. -> KEY_LOADED or RESULT(not ok)
#define MSG_KEY_UNLOAD_FIELDS(F) F(U32, req, 0) F(BLOB, id, 0)                            // -> RESULT
#define MSG_KEY_LIST_FIELDS(F)   F(U32, req, 0) F(U64, from, 0) F(U32, most, 0)            // a page: -> KEY_IS ..., LIST_MORE or RESULT
// ---- keys -> ctl
#define MSG_KEY_LOADED_FIELDS(F) F(U32, req, 0) F(BLOB, id, 0)
#define MSG_KEY_IS_FIELDS(F)     F(U32, req, 0) F(BLOB, id, 0) F(STR, type, 16)             // type: RSA, ECDSA, ED25519, ED448
// ---- ctl -> ike: certificates, lists of revoked ones, public keys (enum pki_kind); ike parses them, as it has the store
#define MSG_CERT_LOAD_FIELDS(F)   F(U32, req, 0) F(U8, kind, 0) F(BLOB, data, 0)            // DER or PEM. -> RESULT
#define MSG_CERTS_CLEAR_FIELDS(F) F(U32, req, 0)                                        // what was loaded, and caches. -> RESULT
#define MSG_CERT_LIST_FIELDS(F)   F(U32, req, 0) F(U8, kind, 0) F(STR, subject, 1024) F(U64, from, 0) F(U32, most, 0) /* kind 0: all; subject "": any */ // a page: -> CERT_IS ..., LIST_MORE or RESULT
#define MSG_CERTS_FLUSH_FIELDS(F) F(U32, req, 0) F(U8, kind, 0)                            // what was received or fetched, of that kind (0: all). -> RESULT
#define MSG_AUTHORITY_LOAD_FIELDS(F) F(U32, req, 0) F(STR, name, NAME_MAX_LEN) F(BLOB, cacert, 0) F(BLOB, crl_uris, 0) F(BLOB, ocsp_uris, 0) F(STR, cert_uri_base, 1024) // uris: slice16 each. -> RESULT
#define MSG_AUTHORITY_UNLOAD_FIELDS(F) F(U32, req, 0) F(STR, name, NAME_MAX_LEN)           // -> RESULT
#define MSG_AUTHORITY_LIST_FIELDS(F) F(U32, req, 0) F(STR, name, NAME_MAX_LEN) F(U64, from, 0) F(U32, most, 0) /* name "": all */ // a page: -> AUTHORITY_IS ..., LIST_MORE or RESULT
// ---- ctl -> ike: address pools; the leases of a file come behind the pool that they belong to
#define MSG_POOL_LOAD_FIELDS(F)   F(U32, req, 0) F(BLOB, pool, 0)                        // pool_write; replaces one of the same name. -> RESULT
#define MSG_POOL_UNLOAD_FIELDS(F) F(U32, req, 0) F(STR, name, NAME_MAX_LEN)              // not ok where addresses are in use. -> RESULT
#define MSG_POOL_LEASES_FIELDS(F) F(U32, req, 0) F(STR, name, NAME_MAX_LEN) F(BLOB, leases, 0) // u8 family, 16 octets of address, slice16 identity (RFC 7296 3.5) each; where req is not 0 -> RESULT: of all since the last answer
#define MSG_POOL_LIST_FIELDS(F)   F(U32, req, 0) F(STR, name, NAME_MAX_LEN) F(U8, leases, 0) F(U64, from, 0) F(U32, most, 0) /* name "": all */ // a page: -> POOL_IS, LEASE_IS of it ..., LIST_MORE or RESULT
// ---- ike -> ctl
#define MSG_POOL_IS_FIELDS(F)     F(U32, req, 0) F(STR, name, NAME_MAX_LEN) F(ADDR, base, 0) F(U64, size, 0) F(U32, online, 0) F(U32, offline, 0)
#define MSG_LEASE_IS_FIELDS(F)    F(U32, req, 0) F(ADDR, address, 0) F(STR, identity, 257) F(BLOB, id, 0) F(U8, online, 0) // of the POOL_IS before; id: as in LEASE
#define MSG_LEASE_FIELDS(F)       F(STR, pool, NAME_MAX_LEN) F(ADDR, address, 0) F(BLOB, identity, 0) // whose the address is from now on: to be kept over a restart
#define MSG_CERT_IS_FIELDS(F) F(U32, req, 0) F(U8, kind, 0) F(U8, trust, 0) F(U8, has_key, 0) F(STR, subject, 1024) F(U64, not_before, 0) F(U64, not_after, 0) /* s since 1970; 0: none */ F(BLOB, data, 0)
#define MSG_AUTHORITY_IS_FIELDS(F) F(U32, req, 0) F(STR, name, NAME_MAX_LEN) F(STR, subject, 1024) F(BLOB, crl_uris, 0) F(BLOB, ocsp_uris, 0) F(STR, cert_uri_base, 1024)
// ---- ike -> keys; every request is answered in order
#define MSG_KE_GENERATE_FIELDS(F) F(U32, req, 0) F(U32, ke_id, 0) F(U16, group, 0)       // -> KE_PUBLIC or RESULT(not ok)
#define MSG_KE_RESPOND_FIELDS(F)  F(U32, req, 0) F(U32, ke_id, 0) F(U16, group, 0) F(BLOB, peer_public, 0) \
    /* answers the initiator's value, as a KEM does: the secret is made now, the derivation with ke_id has an empty peer_public */ // -> KE_PUBLIC or RESULT(not ok)
#define MSG_KE_FORGET_FIELDS(F)   F(U32, ke_id, 0)
#define MSG_IKE_DERIVE_FIELDS(F)  F(U32, req, 0) F(U32, ike_id, 0) F(U32, ke_id, 0) F(BLOB, peer_public, 0) F(U16, encr, 0) F(U16, encr_bits, 0) F(U16, integ, 0) F(U16, prf, 0) \
    F(BLOB, ni, 0) F(BLOB, nr, 0) F(U64, spi_i, 0) F(U64, spi_r, 0) F(U8, initiator, 0) F(U32, old_ike_id, 0) F(BLOB, more, 0) \
    /* a rekey of old_ike_id (RFC 7296 2.18; 0: a new one): i and initiator mean the exchange's initiator. more: additional key exchanges (u32 ke_id, slice16 peer_public each) */ // -> IKE_KEYS or RESULT. All of them are consumed
// One IKE_INTERMEDIATE exchange of an IKE SA that is not authenticated yet (RFC 9242, RFC 9370 2.2.2); ke_id 0: no key exchange;
// peer_public is empty where KE_RESPOND has had it; request, response: what IntAuth covers of the exchange's messages; ppk_id: of the
// postquantum preshared key that goes in behind it (RFC 9867), empty: none.
#define MSG_IKE_UPDATE_FIELDS(F)  F(U32, req, 0) F(U32, ike_id, 0) F(U32, ke_id, 0) F(BLOB, peer_public, 0) F(U16, encr, 0) F(U16, encr_bits, 0) F(U16, integ, 0) \
    F(BLOB, ni, 0) F(BLOB, nr, 0) F(U64, spi_i, 0) F(U64, spi_r, 0) F(BLOB, request, 0) F(BLOB, response, 0) F(BLOB, ppk_id, 0) // -> IKE_KEYS or RESULT
#define MSG_PPK_CONFIRM_FIELDS(F) F(U32, req, 0) F(U32, ike_id, 0) F(BLOB, ppk_id, 0) F(BLOB, ni, 0) F(BLOB, nr, 0) F(U64, spi_i, 0) F(U64, spi_r, 0) // what shows that an end has it. -> PPK_CONFIRM_IS or RESULT, not ok: there is none
#define MSG_IKE_FORGET_FIELDS(F)  F(U32, ike_id, 0) F(U8, lost, 0) // lost: its peer fell silent, and may resume it by its ticket
// Resumption (RFC 5723). TICKET_SEAL as the one who gives a ticket, of an IKE SA that is proven: SK_d goes into it with ike's own
// state; a new one takes the place of the one before. TICKET_OPEN gives that state back. TICKET_KEEP as the one who got a ticket on
// that IKE SA: its SK_d is kept by the ticket's number, which ike gives. IKE_RESUME makes the keys of another IKE SA: initiator by
// ticket_id, responder by the ticket as it came. What proves its ends is AUTH_MAKE and AUTH_CHECK of a shared secret, by SK_p.
#define MSG_TICKET_SEAL_FIELDS(F)   F(U32, req, 0) F(U32, ike_id, 0) F(U32, lifetime_s, 0) F(BLOB, state, 0) // -> TICKET_IS or RESULT(not ok)
#define MSG_TICKET_OPEN_FIELDS(F)   F(U32, req, 0) F(BLOB, ticket, 0)                       // -> TICKET_STATE or RESULT(not ok)
#define MSG_TICKET_KEEP_FIELDS(F)   F(U32, ike_id, 0) F(U32, ticket_id, 0) F(U32, lifetime_s, 0) // no answer
#define MSG_TICKET_FORGET_FIELDS(F) F(U32, ticket_id, 0)                                  // no answer
#define MSG_IKE_RESUME_FIELDS(F)  F(U32, req, 0) F(U32, ike_id, 0) F(U32, ticket_id, 0) F(BLOB, ticket, 0) F(U16, encr, 0) F(U16, encr_bits, 0) F(U16, integ, 0) F(U16, prf, 0) \
    F(BLOB, ni, 0) F(BLOB, nr, 0) F(U64, spi_i, 0) F(U64, spi_r, 0) F(U8, initiator, 0) F(U8, message_alone, 0) /* initiator: see derive_resumed_auth */ // -> IKE_KEYS or RESULT
// A PPK (RFC 8784) for this IKE SA, by the octets that its identity has: it goes into what AUTH is made with from here on. As
// responder that is settled; as initiator the peer says in its answer whether it has it too, and PPK_SETTLE tells, before it is checked.
#define MSG_PPK_SELECT_FIELDS(F)  F(U32, req, 0) F(U32, ike_id, 0) F(BLOB, ppk_id, 0) F(U8, required, 0) // required: AUTH_IS has no no_ppk. -> RESULT, not ok: there is none
#define MSG_PPK_SETTLE_FIELDS(F)  F(U32, ike_id, 0) F(U8, used, 0)                        // no answer
// EAP-MSCHAPv2 as the server: between the two our AUTH is made by a private key before the peer is proven (RFC 7296 2.16); after
// it the peer is checked, and our second AUTH made, by the MSK. One try an IKE SA.
#define MSG_EAP_BEGIN_FIELDS(F)  F(U32, req, 0) F(U32, ike_id, 0)                          // -> EAP_CHALLENGE or RESULT(not ok)
#define MSG_EAP_MSCHAP_FIELDS(F) F(U32, req, 0) F(U32, ike_id, 0) F(BLOB, user, 0) F(BLOB, account, 0) F(BLOB, peer_challenge, 0) F(BLOB, response, 0) /* account: user without a domain, which goes into the response (RFC 2759 8.2) */ // -> EAP_MSCHAP_IS or RESULT(not ok)
// EAP-MSCHAPv2 as the client, once the server has proven itself by its signature: what the password of `user` answers to the challenge,
// once; then what the server's success says ("S="). Where that is right both AUTHs are by the MSK.
#define MSG_EAP_ANSWER_FIELDS(F) F(U32, req, 0) F(U32, ike_id, 0) F(BLOB, user, 0) F(BLOB, account, 0) F(BLOB, challenge, 0) // -> EAP_ANSWER_IS or RESULT(not ok)
#define MSG_EAP_SERVER_FIELDS(F) F(U32, req, 0) F(U32, ike_id, 0) F(BLOB, authenticator, 0)                            // -> RESULT
// EAP-TLS (RFC 5216, 9190), whose handshake is ike's: keys makes its one signature, in either role, where an EAP_TLS_BEGIN was in its
// place as EAP_BEGIN or EAP_ANSWER are; scheme: one bit of enum cr_scheme_bit. Then ike says what the handshake made, as it alone knows it.
#define MSG_EAP_TLS_BEGIN_FIELDS(F) F(U32, req, 0) F(U32, ike_id, 0) F(U8, only, 0)        // only: no signature of IKE's by the server (RFC 5998). -> RESULT
#define MSG_EAP_TLS_SIGN_FIELDS(F)  F(U32, req, 0) F(U32, ike_id, 0) F(BLOB, key_id, 0) F(U32, scheme, 0) F(BLOB, data, 0) // -> EAP_TLS_SIGNED or RESULT(not ok)
#define MSG_EAP_TLS_MSK_FIELDS(F)   F(U32, req, 0) F(U32, ike_id, 0) F(BLOB, msk, 0)       // -> RESULT; both AUTHs are by it
#define MSG_AUTH_MAKE_FIELDS(F)   F(U32, req, 0) F(U32, ike_id, 0) F(U8, method, 0) F(BLOB, message, 0) F(BLOB, peer_nonce, 0) F(BLOB, id_body, 0) \
    F(BLOB, peer_id_body, 0) F(ADDR, local, 0) F(ADDR, remote, 0)                        /* id bodies: RFC 7296 3.5 from the ID type octet on */ \
    F(BLOB, key_id, 0) F(U32, schemes, 0) F(U8, more, 0) /* method: of the AUTH payload; key_id: the private key, empty with a shared secret; schemes: enum cr_scheme_bit; \
    more: an AUTH_ROUND comes, and before it there is nothing by this IKE SA */ // -> AUTH_IS or RESULT
#define MSG_AUTH_CHECK_FIELDS(F)  F(U32, req, 0) F(U32, ike_id, 0) F(U8, method, 0) F(BLOB, message, 0) F(BLOB, own_nonce, 0) F(BLOB, id_body, 0) \
    F(BLOB, peer_id_body, 0) F(ADDR, local, 0) F(ADDR, remote, 0) F(BLOB, auth, 0)          // -> AUTH_PROVEN or RESULT(not ok); the answer's AUTH_MAKE takes the same secret
// A peer that signs: keys gives what its signature covers beside its message and our nonce, prf(SK_p of the peer, its ID)
// (RFC 7296 2.15), ike verifies, as keys parses no certificate and no signature, and says when it is proven.
#define MSG_AUTH_OCTETS_FIELDS(F)   F(U32, req, 0) F(U32, ike_id, 0) F(BLOB, id_body, 0)       // -> AUTH_OCTETS_IS or RESULT(not ok)
#define MSG_AUTH_VERIFIED_FIELDS(F) F(U32, ike_id, 0)                                     // the peer has proven itself by its signature; no answer
// Another round of authentication (RFC 4739) of that end or those ends, which have proven themselves by the first one; our AUTH_MAKE has announced it.
#define MSG_AUTH_ROUND_FIELDS(F) F(U32, ike_id, 0) F(U8, own, 0) F(U8, peer, 0) F(U8, more, 0) // no answer; more: another one comes behind it
#define MSG_CHILD_DERIVE_FIELDS(F) F(U32, req, 0) F(U32, ike_id, 0) F(U32, ke_id, 0) F(BLOB, peer_public, 0) F(BLOB, ni, 0) F(BLOB, nr, 0) F(U8, initiator, 0) \
    F(BLOB, child, 0)  /* a CHILD message: forwarded to path with the keys */ F(BLOB, more, 0) /* initiator: of the exchange; ke_id 0: no key exchange; more: as in IKE_DERIVE */ // -> RESULT, after path has answered
// ---- keys -> ike
#define MSG_KE_PUBLIC_FIELDS(F)   F(U32, req, 0) F(BLOB, value, 0)
#define MSG_IKE_KEYS_FIELDS(F)    F(U32, req, 0) F(BLOB, sk_ai, 0) F(BLOB, sk_ar, 0) F(BLOB, sk_ei, 0) F(BLOB, sk_er, 0)
#define MSG_TICKET_IS_FIELDS(F)   F(U32, req, 0) F(BLOB, ticket, 0)
#define MSG_TICKET_STATE_FIELDS(F) F(U32, req, 0) F(BLOB, state, 0)
#define MSG_PPK_CONFIRM_IS_FIELDS(F) F(U32, req, 0) F(BLOB, confirmation, 0)
#define MSG_AUTH_PROVEN_FIELDS(F) F(U32, req, 0) F(STR, secret, NAME_MAX_LEN) F(STR, owner, 257) // whose secret the peer knows: its id, and the owner that the peer's identity matches ("": the secret serves for everyone)
#define MSG_EAP_CHALLENGE_FIELDS(F) F(U32, req, 0) F(BLOB, challenge, 0)
#define MSG_EAP_MSCHAP_IS_FIELDS(F) F(U32, req, 0) F(BLOB, authenticator, 0)
#define MSG_EAP_ANSWER_IS_FIELDS(F) F(U32, req, 0) F(BLOB, peer_challenge, 0) F(BLOB, response, 0)
#define MSG_EAP_TLS_SIGNED_FIELDS(F) F(U32, req, 0) F(BLOB, signature, 0)
#define MSG_AUTH_IS_FIELDS(F)     F(U32, req, 0) F(BLOB, auth, 0) F(BLOB, no_ppk, 0)       // no_ppk: the same without the PPK, for a peer that has none; empty: not made
#define MSG_AUTH_OCTETS_IS_FIELDS(F) F(U32, req, 0) F(BLOB, octets, 0)
#define MSG_KEY_HAVE_FIELDS(F)    F(BLOB, id, 0) F(U8, have, 0)                            // a private key came or went; an empty id: all of them went
// ---- keys -> path (traffic keys)
#define MSG_CHILD_INSTALL_FIELDS(F) F(U32, req, 0) F(BLOB, child, 0) F(BLOB, key_out, 0) F(BLOB, key_in, 0) // key incl. salt (RFC 4106), then integrity key (RFC 7296 2.17). -> RESULT to keys
#define MSG_NEXT_IKE_FIELDS(F)    F(U8, unused, 0)                                  // keys -> path: another ike is there, and what was to be installed for the last one is behind us
// The description of a CHILD SA, as a message of its own inside CHILD_DERIVE and CHILD_INSTALL.
#define MSG_CHILD_FIELDS(F) F(U32, child_id, 0) F(U32, ike_id, 0) F(STR, conn, NAME_MAX_LEN) F(STR, name, NAME_MAX_LEN) F(U32, reqid, 0) \
    F(U32, spi_in, 0) F(U32, spi_out, 0) F(U16, encr, 0) F(U16, encr_bits, 0) F(U16, integ, 0) F(U8, esn, 0) F(U8, udp_encap, 0) \
    F(ADDR, local, 0) F(U16, local_port, 0) F(ADDR, remote, 0) F(U16, remote_port, 0) F(TSL, local_ts, 0) F(TSL, remote_ts, 0) \
    F(U8, hw_offload, 0) F(U32, replay_window, 0) F(U8, copy_df, 0) F(U8, copy_ecn, 0) F(U8, copy_dscp_out, 0) F(U8, copy_dscp_in, 0) F(U16, tfc_padding, 0) F(U8, tfc_dummies, 0) /* a second, see ctrl/lib/conn.h */ \
    F(U64, rekey_bytes, 0) F(U64, life_bytes, 0) F(U64, rekey_packets, 0) F(U64, life_packets, 0) \
    F(U32, policy_id, 0) F(U8, mode, 0) /* the policy that it serves, and enum sa_mode */ \
    F(U32, out_after, 0) /* see CHILD_OUTBOUND; 0: it sends from the first moment */ \
    F(U32, idle_s, 0) /* seconds without traffic until CHILD_EVENT_IDLE; 0: never */ \
    F(U32, fence, 0) /* of the fleet's, the session that it is made in (ctrl/lib/fence.h); 0: it is no fleet's */
// ---- ike -> path
// Replaces all loaded policies of the connection by policies_write's list, as one transaction: new before old; on
// any failure nothing has changed. They are in force from then on, SA or not. peer: the same for connections to the same
// peer; what is loaded takes over the SAs of an equal policy for that peer that is loaded no more. first: ike has none of
// that name, and where path has, that is refused (EAGAIN) as long as less is known of it (later) than was. -> RESULT
#define MSG_POLICY_APPLY_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(U64, peer, 0) F(U8, edit, 0) F(U8, first, 0) F(BLOB, policies, 0)
#define MSG_POLICY_CLEAR_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN)                // POLICY_APPLY of an empty list. -> RESULT
// A virtual address that a gateway gave us, on the TUN as long as an IKE SA has it: an ADD for each. The policies that
// hold it are applied before.
#define MSG_VIRTUAL_ADD_FIELDS(F) F(U32, req, 0) F(ADDR, address, 0)                    // -> RESULT
#define MSG_VIRTUAL_DEL_FIELDS(F) F(ADDR, address, 0)                                 // no answer
#define MSG_CHILD_ENDPOINT_FIELDS(F) F(U32, req, 0) F(U32, child_id, 0) F(ADDR, local, 0) F(U16, local_port, 0) \
    F(ADDR, remote, 0) F(U16, remote_port, 0) F(U8, udp_encap, 0)                        // the outer addresses from now on (NAT rebinding). -> RESULT
// A request of ours offers that inbound SPI: the peer has its SA first, and what it sends may be here before CHILD_INSTALL.
// Packets of it wait for that a while. over: nothing comes of it. No answer.
#define MSG_CHILD_EXPECT_FIELDS(F) F(U32, spi, 0) F(U8, over, 0)
// A deleted child takes no new packet at once. What path had already taken for it still leaves: by its successor where
// there is one, otherwise by itself before its keys go. Inbound it ends at once: ike, who wants it to receive for a while
// after a rekey, deletes it that much later; a newer child sends meanwhile.
// CHILD SAs whose ike has died, by their names (an empty one: any) and number: the next ike knows none of them.
// All policies that are loaded are there: its packets are read, which wait until then where it is in the place of one that died.
// whole: and no policy is missing still, nor a CHILD SA that is to be made anew and protected what no policy names. Until that is
// said, once more, nothing goes past us, and what the last one blocked in the kernel stays. No answer.
#define MSG_PATH_OPEN_FIELDS(F) F(U8, whole, 0)
#define MSG_SURVIVORS_END_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(U32, child_id, 0) /* 0: any */ // -> RESULT (text: how many)
#define MSG_CHILD_DELETE_FIELDS(F) F(U32, req, 0) F(U32, child_id, 0)                 // -> RESULT; unknown ids are fine
// Make before break (RFC 7296 2.8). Of several children of a policy the newest that is in place sends; all receive. The
// responder of a rekey installs the new child with out_after = child_id of the one that it replaces: it receives from its
// RESULT on, the old one goes on sending, until the first of: a packet authenticated by the new one has come, the old one
// is deleted or can send no more (a limit, its last number), CHILD_OUTBOUND says so. The initiator, whose peer has the
// new child already, leaves out_after 0. CHILD_OUTBOUND with another child is said of one that is on its way out: it
// sends only when that one cannot, whatever comes by it. With itself in after it is said of one that the peer has let go
// of: it still receives what was under way and sends no more, whatever becomes of its successor.
#define MSG_CHILD_OUTBOUND_FIELDS(F) F(U32, req, 0) F(U32, child_id, 0) F(U32, after, 0) // it sends from now on (after: not before that one does). -> RESULT, not ok: there is none
// ---- path -> ike
#define MSG_ACQUIRE_FIELDS(F)      F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(U32, policy_id, 0) F(TSL, local_ts, 0) F(TSL, remote_ts, 0) // a packet (its selectors) wants a trapped policy's SA
#define MSG_CHILD_EVENT_FIELDS(F)  F(U32, child_id, 0) F(U8, event, 0) F(ADDR, remote, 0) F(U16, remote_port, 0) // enum child_event; the address: REBOUND's
#define MSG_IKE_DATAGRAM_FIELDS(F) F(ADDR, local, 0) F(ADDR, remote, 0) F(U16, remote_port, 0) F(U32, interface, 0) F(BLOB, datagram, 0) // by UDP 4500, without its marker: the kernel had put it together with others
#define MSG_ADDRS_CHANGED_FIELDS(F) F(U8, unused, 0)                               // addresses or routes of the machine changed: resolve dynamic selectors again
// ESP or AH with an SPI that there is not (RFC 7296 section 1.5); a few a second, of many. udp: it came in UDP, from that port.
#define MSG_UNKNOWN_SPI_FIELDS(F)  F(U32, spi, 0) F(ADDR, local, 0) F(ADDR, remote, 0) F(U16, remote_port, 0) F(U8, udp, 0)
// ---- ctl -> path
#define MSG_PATH_LIST_FIELDS(F)    F(U32, req, 0) F(BLOB, children, 0)               // u32 child_id each: at most LIST_PAGE_MAX. -> PATH_SA of those that are there, RESULT (text: how many CHILD SAs go on although their ike has died; none: empty)
#define MSG_SURVIVOR_LIST_FIELDS(F) F(U32, req, 0) F(U64, from, 0) F(U32, most, 0)       // a page of these: -> SURVIVOR_IS and PATH_SA of each ..., LIST_MORE or RESULT
// The configuration is taken: what an earlier run left in the kernel and nobody has asked for again goes; held: not yet, and
// why not (the name of a connection that was refused or has not come yet, of `awaited`; or what else). No answer.
#define MSG_SWEEP_FIELDS(F)        F(STR, held, NAME_MAX_LEN) F(U32, awaited, 0)
#define MSG_PATH_STATS_FIELDS(F)   F(U32, req, 0)                                  // -> PATH_STATS_IS, RESULT
#define MSG_POLICY_LIST_FIELDS(F)  F(U32, req, 0) F(U64, from, 0) F(U32, most, 0)        // a page: -> POLICY_IS ..., LIST_MORE or RESULT
#define MSG_TRAFFIC_LIST_FIELDS(F) F(U32, req, 0) F(BLOB, names, 0)                   // as COUNTS_LIST. -> TRAFFIC of each child that protects, RESULT
// ---- path -> ctl (and on to metrics): by the names of the connection and the child, of all SAs that there ever were as in CONN_COUNTS
#define MSG_TRAFFIC_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(U64, packets_in, 0) F(U64, bytes_in, 0) F(U64, packets_out, 0) F(U64, bytes_out, 0) F(U64, dropped, 0)
// ---- path -> ctl
#define MSG_PATH_SA_FIELDS(F) F(U32, req, 0) F(U32, child_id, 0) F(U32, spi_in, 0) F(U32, spi_out, 0) \
    F(U64, bytes_in, 0) F(U64, packets_in, 0) F(U32, use_in_s, 0) F(U64, bytes_out, 0) F(U64, packets_out, 0) F(U32, use_out_s, 0) /* UINT32_MAX: never used */ \
    F(STR, offload, 16) F(STR, offload_reason, 200) F(STR, card, 64) F(U64, seq_out, 0) F(U32, path_since_s, 0) F(U32, if_id, 0) F(STR, interface, 16) /* of a TUN of its own; 0: none */ F(STR, route, 128) /* vti_way_text */ F(U64, dummies_out, 0)
#define MSG_SURVIVOR_IS_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(U32, id, 0) F(U32, spi_in, 0) F(U32, spi_out, 0) \
    F(U16, encr, 0) F(U16, encr_bits, 0) F(U16, integ, 0) F(U8, esn, 0) F(U8, udp_encap, 0) F(U8, mode, 0) F(ADDR, local, 0) F(U16, local_port, 0) F(ADDR, remote, 0) F(U16, remote_port, 0) \
    F(U32, install_s, 0) F(U32, left_s, 0) /* it has at most so long */ F(TSL, local_ts, 0) F(TSL, remote_ts, 0) // its PATH_SA comes behind it
#define MSG_PATH_STATS_IS_FIELDS(F) F(U32, req, 0) F(BLOB, counters, 0)               // "name value\n" lines
#define MSG_POLICY_IS_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(TSL, local_ts, 0) F(TSL, remote_ts, 0) F(U8, trap, 0) \
    F(U32, id, 0) F(U8, action, 0) F(U8, mode, 0) F(U64, rank, 0) F(U8, loaded, 0) F(U32, sa_count, 0)

// ---- metrics -> ctl: a page of enum metrics_what, one question at a time; from is 0 or what LIST_MORE said.
#define MSG_METRICS_LIST_FIELDS(F) F(U32, req, 0) F(U8, what, 0) F(U64, from, 0)       // -> what is said there, LIST_MORE or RESULT
// ---- ctl -> metrics: what of the other rooms' answers is for everybody's eyes
#define MSG_METRIC_CERT_FIELDS(F) F(U32, req, 0) F(U8, kind, 0) F(U8, has_key, 0) F(STR, subject, 1024) F(STR, fingerprint, 20) F(U64, not_before, 0) F(U64, not_after, 0) // fingerprint: of its SHA-256, 16 digits
#define MSG_METRIC_IKE_SA_FIELDS(F) F(U32, req, 0) F(U32, id, 0) F(STR, conn, NAME_MAX_LEN) F(STR, state, 24) F(U8, initiator, 0) F(ADDR, remote, 0) F(U32, established_s, 0) F(U32, rekey_s, 0)
#define MSG_METRIC_CHILD_SA_FIELDS(F) F(U32, req, 0) F(U32, id, 0) F(STR, conn, NAME_MAX_LEN) F(STR, child, NAME_MAX_LEN) F(STR, state, 24) F(U32, spi_in, 0) F(U32, spi_out, 0) F(U32, install_s, 0) F(U32, rekey_s, 0) \
    F(STR, offload, 16) F(STR, offload_reason, 200) F(U64, packets_in, 0) F(U64, bytes_in, 0) F(U64, packets_out, 0) F(U64, bytes_out, 0) F(U64, seq_out, 0) // of that connection

// ---- fleet -> ctl: connections of the fleet (ctrl/fleet). conn: a load-conn message of VICI, of the connection of that name and no other, which is loaded as that would
// be; fence: the session that this node has it in (ctrl/lib/fence.h), or FENCE_CLOSED: its policies hold, its SAs end, and nobody speaks by it.
// One of the same name that is no fleet's is not touched. -> RESULT
#define MSG_FLEET_CONN_FIELDS(F)   F(U32, req, 0) F(STR, name, NAME_MAX_LEN) F(U32, fence, 0) F(BLOB, conn, 0)
#define MSG_FLEET_UNLOAD_FIELDS(F) F(U32, req, 0) F(STR, conn, NAME_MAX_LEN)          // one of the fleet's; ok where it has none, too. -> RESULT
#define MSG_FLEET_LIST_FIELDS(F)   F(U32, req, 0) F(U64, from, 0)                     // what it has of the fleet's: 0 or what LIST_MORE said. -> FLEET_HAS, LIST_MORE or RESULT (not ok: it does not know yet)
// ---- ctl -> fleet: one of them, which an earlier `fleet` may have given
#define MSG_FLEET_HAS_FIELDS(F)    F(U32, req, 0) F(STR, conn, NAME_MAX_LEN)

// ---- ike -> fetch
#define MSG_FETCH_FIELDS(F) F(U32, req, 0) F(STR, url, 1024) F(BLOB, body, 0) F(STR, content_type, 64) F(U32, most, 0) F(U32, timeout_ms, 0) /* body: of a POST, empty: GET; most: octets of the answer */ // -> FETCHED
// ---- fetch -> ike
#define MSG_FETCHED_FIELDS(F) F(U32, req, 0) F(U8, ok, 0) F(U8, more, 0) F(STR, text, 400) F(BLOB, body, 0) // more: the next piece of the answer follows

// X(message, who may send it to whom). A room takes nothing from a channel that this table does not have: whoever
// has broken into one room can ask its neighbours for what that room asks for, and nothing else. CHILD travels inside
// other messages alone.
#define MSG_LIST(X) \
    X(READY, FROM_ALL(SUPER)) \
    X(GO, AT(SUPER, CTL)) \
    X(SERVING, AT(CTL, SUPER)) \
    X(WHOLE, AT(CTL, SUPER) | AT(CTL, IKE)) \
    X(SHUTDOWN, TO_ALL(SUPER)) \
    X(SHUTDOWN_DONE, FROM_ALL(SUPER)) \
    X(RELOAD, AT(CTL, SUPER)) \
    X(SETTINGS, TO_ALL(SUPER)) \
    X(ROOM_PID, AT(SUPER, CTL) | AT(SUPER, METRICS) | AT(SUPER, IKE) | AT(SUPER, KEYS)) \
    X(CHANNEL, TO_ALL(SUPER)) \
    X(PING, TO_ALL(SUPER)) \
    X(PONG, FROM_ALL(SUPER)) \
    X(LOG, FROM_ALL(CTL)) \
    X(LISTEN, AT(CTL, IKE) | AT(CTL, KEYS) | AT(CTL, PATH) | AT(CTL, FETCH) | AT(CTL, METRICS) | AT(CTL, FLEET)) \
    X(RESULT, AT(CTL, METRICS) | AT(CTL, FLEET) | AT(SUPER, CTL) | AT(IKE, CTL) | AT(KEYS, CTL) | AT(PATH, CTL) | AT(KEYS, IKE) | AT(PATH, IKE) | AT(PATH, KEYS)) \
    X(LIST_MORE, AT(CTL, FLEET) | AT(CTL, METRICS) | AT(IKE, CTL) | AT(KEYS, CTL) | AT(PATH, CTL)) \
    X(CONN_LOAD, AT(CTL, IKE)) \
    X(CONN_UNLOAD, AT(CTL, IKE)) \
    X(CONN_LIST, AT(CTL, IKE)) \
    X(CONN_IS, AT(IKE, CTL)) \
    X(INITIATE, AT(CTL, IKE)) \
    X(TERMINATE, AT(CTL, IKE)) \
    X(REKEY, AT(CTL, IKE)) \
    X(REDIRECT, AT(CTL, IKE)) \
    X(IKE_LIST, AT(CTL, IKE)) \
    X(IKE_STATS, AT(CTL, IKE)) \
    X(IKE_INFO, AT(IKE, CTL)) \
    X(CHILD_INFO, AT(IKE, CTL)) \
    X(IKE_STATS_IS, AT(IKE, CTL) | AT(CTL, METRICS)) \
    X(IKE_UPDOWN, AT(IKE, CTL)) \
    X(CHILD_UPDOWN, AT(IKE, CTL)) \
    X(IKE_REKEY, AT(IKE, CTL)) \
    X(CHILD_REKEY, AT(IKE, CTL)) \
    X(IKE_MOVES, AT(IKE, CTL)) \
    X(ALERT, AT(IKE, CTL)) \
    X(COUNTS_LIST, AT(CTL, IKE)) \
    X(CONN_COUNTS, AT(IKE, CTL) | AT(CTL, METRICS)) \
    X(CHILD_COUNTS, AT(IKE, CTL) | AT(CTL, METRICS)) \
    X(TRAFFIC_LIST, AT(CTL, PATH)) \
    X(TRAFFIC, AT(PATH, CTL) | AT(CTL, METRICS)) \
    X(METRICS_LIST, AT(METRICS, CTL)) \
    X(METRIC_CERT, AT(CTL, METRICS)) \
    X(METRIC_IKE_SA, AT(CTL, METRICS)) \
    X(METRIC_CHILD_SA, AT(CTL, METRICS)) \
    X(SECRET_LOAD, AT(CTL, KEYS)) \
    X(SECRET_UNLOAD, AT(CTL, KEYS)) \
    X(SECRET_LIST, AT(CTL, KEYS)) \
    X(SECRET_IS, AT(KEYS, CTL)) \
    X(SECRETS_CLEAR, AT(CTL, KEYS)) \
    X(KEY_LOAD, AT(CTL, KEYS)) \
    X(KEY_UNLOAD, AT(CTL, KEYS)) \
    X(KEY_LIST, AT(CTL, KEYS)) \
    X(KEY_LOADED, AT(KEYS, CTL)) \
    X(KEY_IS, AT(KEYS, CTL)) \
    X(CERT_LOAD, AT(CTL, IKE)) \
    X(CERTS_CLEAR, AT(CTL, IKE)) \
    X(CERT_LIST, AT(CTL, IKE)) \
    X(CERTS_FLUSH, AT(CTL, IKE)) \
    X(AUTHORITY_LOAD, AT(CTL, IKE)) \
    X(AUTHORITY_UNLOAD, AT(CTL, IKE)) \
    X(AUTHORITY_LIST, AT(CTL, IKE)) \
    X(POOL_LOAD, AT(CTL, IKE)) \
    X(POOL_UNLOAD, AT(CTL, IKE)) \
    X(POOL_LEASES, AT(CTL, IKE)) \
    X(POOL_LIST, AT(CTL, IKE)) \
    X(POOL_IS, AT(IKE, CTL)) \
    X(LEASE_IS, AT(IKE, CTL)) \
    X(LEASE, AT(IKE, CTL)) \
    X(VIRTUAL_ADD, AT(IKE, PATH)) \
    X(VIRTUAL_DEL, AT(IKE, PATH)) \
    X(CERT_IS, AT(IKE, CTL)) \
    X(AUTHORITY_IS, AT(IKE, CTL)) \
    X(KE_GENERATE, AT(IKE, KEYS)) \
    X(KE_RESPOND, AT(IKE, KEYS)) \
    X(KE_FORGET, AT(IKE, KEYS)) \
    X(IKE_DERIVE, AT(IKE, KEYS)) \
    X(IKE_UPDATE, AT(IKE, KEYS)) \
    X(PPK_CONFIRM, AT(IKE, KEYS)) \
    X(PPK_CONFIRM_IS, AT(KEYS, IKE)) \
    X(IKE_FORGET, AT(IKE, KEYS)) \
    X(TICKET_SEAL, AT(IKE, KEYS)) \
    X(TICKET_OPEN, AT(IKE, KEYS)) \
    X(TICKET_KEEP, AT(IKE, KEYS)) \
    X(TICKET_FORGET, AT(IKE, KEYS)) \
    X(IKE_RESUME, AT(IKE, KEYS)) \
    X(TICKET_IS, AT(KEYS, IKE)) \
    X(TICKET_STATE, AT(KEYS, IKE)) \
    X(PPK_SELECT, AT(IKE, KEYS)) \
    X(EAP_BEGIN, AT(IKE, KEYS)) \
    X(EAP_MSCHAP, AT(IKE, KEYS)) \
    X(EAP_CHALLENGE, AT(KEYS, IKE)) \
    X(EAP_MSCHAP_IS, AT(KEYS, IKE)) \
    X(EAP_ANSWER, AT(IKE, KEYS)) \
    X(EAP_SERVER, AT(IKE, KEYS)) \
    X(EAP_ANSWER_IS, AT(KEYS, IKE)) \
    X(EAP_TLS_BEGIN, AT(IKE, KEYS)) \
    X(EAP_TLS_SIGN, AT(IKE, KEYS)) \
    X(EAP_TLS_MSK, AT(IKE, KEYS)) \
    X(EAP_TLS_SIGNED, AT(KEYS, IKE)) \
    X(PPK_SETTLE, AT(IKE, KEYS)) \
    X(AUTH_MAKE, AT(IKE, KEYS)) \
    X(AUTH_CHECK, AT(IKE, KEYS)) \
    X(AUTH_OCTETS, AT(IKE, KEYS)) \
    X(AUTH_VERIFIED, AT(IKE, KEYS)) \
    X(AUTH_ROUND, AT(IKE, KEYS)) \
    X(CHILD_DERIVE, AT(IKE, KEYS)) \
    X(KE_PUBLIC, AT(KEYS, IKE)) \
    X(IKE_KEYS, AT(KEYS, IKE)) \
    X(AUTH_PROVEN, AT(KEYS, IKE)) \
    X(AUTH_IS, AT(KEYS, IKE)) \
    X(AUTH_OCTETS_IS, AT(KEYS, IKE)) \
    X(KEY_HAVE, AT(KEYS, IKE)) \
    X(CHILD_INSTALL, AT(KEYS, PATH)) \
    X(NEXT_IKE, AT(KEYS, PATH)) \
    X(CHILD, 0) \
    X(POLICY_APPLY, AT(IKE, PATH)) \
    X(POLICY_CLEAR, AT(IKE, PATH)) \
    X(CHILD_EXPECT, AT(IKE, PATH)) \
    X(CHILD_DELETE, AT(IKE, PATH)) \
    X(SURVIVORS_END, AT(IKE, PATH)) \
    X(PATH_OPEN, AT(IKE, PATH)) \
    X(CHILD_OUTBOUND, AT(IKE, PATH)) \
    X(CHILD_ENDPOINT, AT(IKE, PATH)) \
    X(ACQUIRE, AT(PATH, IKE)) \
    X(CHILD_EVENT, AT(PATH, IKE)) \
    X(ADDRS_CHANGED, AT(PATH, IKE)) \
    X(IKE_DATAGRAM, AT(PATH, IKE)) \
    X(UNKNOWN_SPI, AT(PATH, IKE)) \
    X(PATH_LIST, AT(CTL, PATH)) \
    X(SURVIVOR_LIST, AT(CTL, PATH)) \
    X(SURVIVOR_IS, AT(PATH, CTL)) \
    X(PATH_STATS, AT(CTL, PATH)) \
    X(POLICY_LIST, AT(CTL, PATH)) \
    X(SWEEP, AT(CTL, PATH)) \
    X(PATH_SA, AT(PATH, CTL)) \
    X(PATH_STATS_IS, AT(PATH, CTL) | AT(CTL, METRICS)) \
    X(POLICY_IS, AT(PATH, CTL)) \
    X(FETCH, AT(IKE, FETCH)) \
    X(FETCHED, AT(FETCH, IKE)) \
    X(FLEET_CONN, AT(FLEET, CTL)) \
    X(FLEET_UNLOAD, AT(FLEET, CTL)) \
    X(FLEET_LIST, AT(FLEET, CTL)) \
    X(FLEET_HAS, AT(CTL, FLEET))

// X(us): how long a handshake may have been to be counted there
#define HANDSHAKE_LIST(X) X(5000) X(10000) X(25000) X(50000) X(100000) X(250000) X(500000) X(1000000) X(2500000) X(5000000) X(10000000) X(30000000)
// clang-format on
#define X(us) HANDSHAKE_##us,
enum { HANDSHAKE_LIST(X) HANDSHAKE_COUNT };
#undef X

enum { LIST_PAGE_MAX = 512 }; // entries
enum { COUNTS_PAGE = 64 };    // connections
#define CONN_LIST_BUSY "connections are being loaded"
#define PATH_GONE      "the path process is gone" // why keys could not have a CHILD SA installed

// X(symbol, name): why an IKE SA did not come up
#define IKE_FAILURE_LIST(X)                                                                                  \
    X(OTHER, "other")                   /* a message that is not as it must be, no memory, ... */            \
    X(NO_ANSWER, "no_answer")           /* of the peer, in time */                                           \
    X(AUTHENTICATION, "authentication") /* failed, at either end */                                          \
    X(NO_PROPOSAL, "no_proposal")       /* in common */                                                      \
    X(SYNTAX, "invalid_syntax")         /* a message that one end could not read: often another secret */    \
    X(KE, "invalid_ke")                 /* no key exchange in common */                                      \
    X(CRITICAL, "unsupported_payload")  /* one that is critical */                                           \
    X(BUSY, "temporary")                /* TEMPORARY_FAILURE, NO_ADDITIONAL_SAS */                           \
    X(REFUSED, "refused")               /* by the peer or by us, with another error */                       \
    X(TERMINATED, "terminated")         /* by an operator, before it was up */
enum ike_failure {
#define X(sym, name) IKE_FAILURE_##sym,
    IKE_FAILURE_LIST(X)
#undef X
        IKE_FAILURE_COUNT
};

// X(symbol, name): why a CHILD SA did not
#define CHILD_FAILURE_LIST(X)                                                                                \
    X(OTHER, "other")                                                                                        \
    X(NO_PROPOSAL, "no_proposal")   /* in common, as the peer says: NO_PROPOSAL_CHOSEN */                    \
    X(SELECTORS, "ts_unacceptable") /* of the peer: TS_UNACCEPTABLE */                                       \
    X(NO_ADDRESS, "no_address")     /* INTERNAL_ADDRESS_FAILURE, FAILED_CP_REQUIRED */                       \
    X(KE, "invalid_ke")             /* no key exchange in common */                                          \
    X(BUSY, "temporary")            /* TEMPORARY_FAILURE, NO_ADDITIONAL_SAS */
enum child_failure {
#define X(sym, name) CHILD_FAILURE_##sym,
    CHILD_FAILURE_LIST(X)
#undef X
        CHILD_FAILURE_COUNT
};

// X(symbol, name): what goes wrong, or may, as charon names it (the event `alert` of its VICI)
#define ALERT_LIST(X)                                                                                        \
    X(LOCAL_AUTH, "local-auth-failed")       /* ours, by the peer's word */                                  \
    X(PEER_AUTH, "peer-auth-failed")         /* the peer's */                                                \
    X(UNREACHABLE, "peer-init-unreachable")  /* no answer to what begins an IKE SA, once more */             \
    X(RETRANSMIT, "retransmit-send")         /* a request goes out again */                                  \
    X(CLEARED, "retransmit-send-cleared")    /* ... and was answered */                                      \
    X(TIMEOUT, "retransmit-send-timeout")    /* ... and was given up */                                      \
    X(REPEATED, "retransmit-receive")        /* the peer's came again */                                     \
    X(HALF_OPEN, "half-open-timeout")        /* a peer that began has not gone on */                         \
    X(IKE_PROPOSAL, "proposal-mismatch-ike") /* nothing in common, at either end */                          \
    X(CHILD_PROPOSAL, "proposal-mismatch-child")                                                             \
    X(SELECTORS, "ts-mismatch")              /* likewise */                                                  \
    X(NARROWED, "ts-narrowed")               /* not all that was asked for */                                \
    X(INSTALL, "install-child-sa-failed")    /* path has not taken it */                                     \
    X(REPLACED, "unique-replace")            /* another IKE SA with that peer is there; its own */           \
    X(KEPT, "unique-keep")                   /* the one that is refused for the sake of another */           \
    X(CHILDLESS, "keep-on-child-sa-failure") /* an IKE SA is up without the CHILD SA that came with it */    \
    X(ADDRESS, "vip-failure")                /* no virtual address, of ours or for the peer */               \
    X(EXPIRED, "ike-sa-expired")             /* an IKE SA came to its hard limit */
enum ike_alert {
#define X(sym, name) ALERT_##sym,
    ALERT_LIST(X)
#undef X
        ALERT_COUNT
};

enum metrics_what {
    METRICS_TOTALS, // IKE_STATS_IS, PATH_STATS_IS
    METRICS_CONNS,  // CONN_COUNTS, CHILD_COUNTS, TRAFFIC of all loaded connections
    METRICS_CERTS,  // METRIC_CERT
    METRICS_SAS,    // METRIC_IKE_SA, METRIC_CHILD_SA
    METRICS_WHAT_COUNT
};

enum child_event {
    CHILD_EVENT_TRAFFIC_IN = 1, // authenticated traffic since the last such event; at most one a second
    // Each once for a child, whichever direction comes there first. By the octets and packets of CHILD, by
    // what its algorithm allows one key (ctrl/path/limits.c), and outbound by the sequence number: without
    // ESN the soft one comes 2^28 numbers before the last, and after the last, or at any hard limit, nothing
    // is sealed.
    CHILD_EVENT_SOFT_LIMIT = 2, // rekey
    CHILD_EVENT_HARD_LIMIT = 3, // delete
    CHILD_EVENT_MOVED = 4,      // the card failed; sequence numbers jumped: rekey
    CHILD_EVENT_REBOUND = 5,    // an authenticated packet came from another source (RFC 7296 2.23)
    // Neither direction has carried a packet for idle_s; once, until it has again. An SA that follows another
    // one of its policy goes on with that one's time.
    CHILD_EVENT_IDLE = 6,
};

#endif
