// SPDX-License-Identifier: Apache-2.0
// The keys of swanctl.conf, all 137 of strongSwan 5.9.8 and those that later releases added: one list makes
// what is read, what is refused and why, and the table in README.md (`make config-table`). A key is taken
// with effect, or a value of it that cannot have any is refused by name.
#ifndef CTRL_CONFIG_SWANCTL_KEYS_H
#define CTRL_CONFIG_SWANCTL_KEYS_H

#define LATER        "not supported yet"
#define NTLM_NEVER   "a password is expected, in `secrets.eap`, not its hash"
#define MARKS_LATER  "marks are " LATER
#define TOKEN_LATER  "keys on tokens are " LATER
#define NO_SCRIPTS   "updown scripts are " LATER
#define IKEV1        "belongs to IKEv1, which is not supported"
#define NO_MEDIATION "mediation is not supported"
#define OF_REMOTE    "it says what the other end's certificate must have: expected in the remote section"
#define KEY_FILE     "a file in the directory of that name, which swanctl decrypts"
#define KEY_SECRET   "its password"

// K(section, name, kind, target, arg, default, words)
//   kind    what a value looks like; ITEMS: text, or a list of it; WORD: text that a function reads; BLOBS:
//           octets, or a list of them; ONLY: one of `arg`, and any other is refused with `words`; NEVER:
//           refused;
//   target  IN_CONN(member), IN_CHILD(member), ITEM(function that takes one text), OCTETS(function that takes
//           one value) or NOTHING
//   arg     the greatest number, the longest text, or the name of a list of choices
//   words   what the key does; for ONLY and NEVER why not
// AWAITED(...) around the words of a key: read and handed on, without effect until its exchange exists; such
// a key is said by name in the log. To make one honoured, take that away from its line.
// clang-format off
#define CONN_KEYS(K)                                                                                                              \
    K(CONN, version, ONLY, NOTHING, version_choices, "0", "only IKEv2 (2, or 0 for any) is supported")                           \
    K(CONN, local_addrs, ITEMS, ITEM(conn_local_addr), 0, "%any", "our addresses; none or `%any`: as routed")                    \
    K(CONN, remote_addrs, ITEMS, ITEM(conn_remote_addr), 0, "%any", "the peer's addresses; as initiator the first that there is a way to") \
    K(CONN, local_port, ITEMS, ITEM(conn_local_port), 0, "500", "500 is --port, 4500 --port-nat-t (with a `remote_port` other than 500)") \
    K(CONN, remote_port, PORT, IN_CONN(remote_port), 0, "500", "the peer's port at the first message")                             \
    K(CONN, proposals, ITEMS, ITEM(conn_ike_proposal), 0, "default", "for the IKE SA")                                           \
    K(CONN, vips, ITEMS, ITEM(conn_vip), 0, "", "virtual addresses to ask for: `0.0.0.0` or `::` for any of the family, or one")       \
    K(CONN, aggressive, ONLY, NOTHING, only_no, "no", IKEV1)                                                                     \
    K(CONN, pull, ONLY, NOTHING, only_yes, "yes", "push " IKEV1)                                                                 \
    K(CONN, dscp, ONLY, NOTHING, dscp_choices, "000000", "marking IKE packets is " LATER)                                        \
    K(CONN, encap, YESNO, IN_CONN(encap), 0, "no", "UDP encapsulation without a NAT too")                                          \
    K(CONN, mobike, YESNO, IN_CONN(mobike), 0, "yes", "IKE and CHILD SAs in tunnel mode go on at other addresses (RFC 4555), where the peer takes that")  \
    K(CONN, dpd_delay, TIME, IN_CONN(dpd_delay), 0, "0s", "the peer is asked whether it lives after so long a silence")            \
    K(CONN, dpd_timeout, ONLY, NOTHING, zero_time, "0s", IKEV1 "; retransmission (`retransmit_*`) decides when a peer is dead")  \
    K(CONN, fragmentation, CHOICE, IN_CONN(fragmentation), fragmentation_choices, "yes", "messages too large for a datagram go in fragments (RFC 7383) where the peer takes them; accept: only the peer's do") \
    K(CONN, childless, CHOICE, IN_CONN(childless), childless_choices, "allow", "IKE SAs that begin without a CHILD SA (RFC 6023): taken from a peer; as initiator made where the peer takes them; no others; none")     \
    K(CONN, send_certreq, YESNO, IN_CONN(send_certreq), 0, "yes", "whether the peer is told which authorities we trust") \
    K(CONN, send_cert, CHOICE, IN_CONN(send_cert), send_cert_choices, "ifasked", "whether certificates of ours are sent") \
    K(CONN, ocsp, ONLY, NOTHING, ocsp_choices, "reply", "OCSP inside IKE is " LATER) \
    K(CONN, ppk_id, TEXT, IN_CONN(ppk_id), ID_MAX_LEN, "", "the postquantum preshared key (RFC 8784) that is used where the peer has it too; as responder also a pattern") \
    K(CONN, ppk_required, YESNO, IN_CONN(ppk_required), 0, "no", "no IKE SA without it")                                         \
    K(CONN, keyingtries, NUMBER, IN_CONN(keyingtries), UINT32_MAX, "1", "attempts to make an IKE SA; 0: for ever")                 \
    K(CONN, unique, CHOICE, IN_CONN(unique), unique_choices, "no", "what a second IKE SA of the same peer does to the first")      \
    K(CONN, reauth_time, TIME, IN_CONN(reauth_time), 0, "0s", "seconds after which a new IKE SA is made beside the old one; 0: never, unless the peer's certificates or what CRLs and OCSP say of them end: then within 30 s, and the old one is closed after 90 s")                   \
    K(CONN, rekey_time, TIME, IN_CONN(rekey_time), 0, "4h", "seconds after which the IKE SA is rekeyed; 0: never")                        \
    K(CONN, over_time, TIME, IN_CONN(over_time), 0, "10 % of the longer of both", "goes with `rekey_time` and `reauth_time`")     \
    K(CONN, rand_time, TIME, IN_CONN(rand_time), 0, "over_time", "likewise; at most half of the shorter of both")                  \
    K(CONN, pools, ITEMS, ITEM(conn_pool), 0, "", "the pools that a peer's virtual address comes from, tried in turn")            \
    K(CONN, if_id_in, WORD, ITEM(conn_if_id_in), 0, "0", "of the children that have none")                                                                 \
    K(CONN, if_id_out, WORD, ITEM(conn_if_id_out), 0, "0", "likewise")                                                                \
    K(CONN, mediation, ONLY, NOTHING, only_no, "no", NO_MEDIATION)                                                               \
    K(CONN, mediated_by, ONLY, NOTHING, empty, "", NO_MEDIATION)                                                                 \
    K(CONN, mediation_peer, ONLY, NOTHING, empty, "", NO_MEDIATION)

// Either section takes the keys of both, as charon does.
#define AUTH_KEYS(K, SIDE, side)                                                                                                  \
    K(SIDE, round, NUMBER, IN_CONN(side.round), UINT32_MAX, "0", "which of two sections is the first round of authentication (RFC 4739): the one with the lower number, or that comes first")   \
    K(SIDE, certs, BLOBS, OCTETS(side_cert), 0, "", "local: ours, of which the first is sent; remote: the peer has one of these") \
    K(SIDE, pubkeys, BLOBS, OCTETS(side_pubkey), 0, "", "raw public keys, likewise") \
    K(SIDE, auth, WORD, ITEM(side_auth), 0, "pubkey", "`psk`, `eap-mschapv2`, `eap-tls`, or `pubkey`, `rsa`, `rsa/pss`, `ecdsa`, `ed25519`, `ed448` with bits and hashes: see above") \
    K(SIDE, id, TEXT, IN_CONN(side.id), ID_MAX_LEN, "the address; remote: any", "the identity")                                  \
    K(SIDE, aaa_id, WORD, ITEM(side_aaa_id), 0, "remote id", "local, with `eap-tls`: whom the server's certificate must be of")                                                                \
    K(SIDE, xauth_id, ONLY, NOTHING, empty, "id", "XAuth " IKEV1)                                                                \
    K(SIDE, groups, NEVER, NOTHING, 0, "", "group membership is " LATER)

// What the chain of the peer's certificate must have; in the local section each is refused by name.
#define LOCAL_CHAIN_KEYS(K) \
    K(LOCAL, eap_id, WORD, ITEM(side_eap_id), 0, "id", "the user name that we answer EAP by") \
    K(LOCAL, cacerts, NEVER, NOTHING, 0, "", OF_REMOTE) \
    K(LOCAL, cert_policy, NEVER, NOTHING, 0, "", OF_REMOTE) \
    K(LOCAL, ca_id, ONLY, NOTHING, empty, "", OF_REMOTE) \
    K(LOCAL, revocation, ONLY, NOTHING, only_relaxed, "relaxed", OF_REMOTE)
#define REMOTE_CHAIN_KEYS(K) \
    K(REMOTE, eap_id, WORD, ITEM(side_eap_id), 0, "id", "whose EAP passwords do, a pattern too; `%any`: everybody's. The peer then counts as who it shows to be") \
    K(REMOTE, cacerts, BLOBS, OCTETS(side_cacert), 0, "", "the chain ends at one of these; none: at any authority that is loaded") \
    K(REMOTE, cert_policy, ITEMS, ITEM(side_policy), 0, "", "OIDs, one of which the chain is good for") \
    K(REMOTE, ca_id, WORD, ITEM(side_ca_id), 0, "", "the distinguished name of an authority in the chain; `*` as a value stands for any") \
    K(REMOTE, revocation, CHOICE, IN_CONN(remote.revocation), revocation_choices, "relaxed", "`relaxed`: refused when known to be revoked; `ifuri`: also where the certificate names a source that gives no answer; `strict`: unless known to be good")

// Sections cert* of local* and remote*, cacert* of remote*.
#define CERT_KEYS(K, SECTION)                                                                                                     \
    K(SECTION, file, WORD, ITEM(side_file), 0, "", "an absolute path, read when the connection is loaded") \
    K(SECTION, handle, NEVER, NOTHING, 0, "", TOKEN_LATER) \
    K(SECTION, slot, NEVER, NOTHING, 0, "", TOKEN_LATER) \
    K(SECTION, module, NEVER, NOTHING, 0, "", TOKEN_LATER)

#define CHILD_KEYS(K)                                                                                                             \
    K(CHILD, ah_proposals, ITEMS, ITEM(child_ah_proposal), 0, "", "for a CHILD SA of AH: integrity without encryption (RFC 4302), in software, not through a NAT; with `esp_proposals` too the peer chooses")                                                         \
    K(CHILD, esp_proposals, ITEMS, ITEM(child_esp_proposal), 0, "default", "for the CHILD SA; key exchange groups, `none` too")  \
    K(CHILD, sha256_96, ONLY, NOTHING, only_no, "no", "96-bit truncation of SHA-256 is not supported")                           \
    K(CHILD, local_ts, ITEMS, ITEM(child_local_ts), 0, "dynamic", "what we protect")                                             \
    K(CHILD, remote_ts, ITEMS, ITEM(child_remote_ts), 0, "dynamic", "what the peer protects")                                    \
    K(CHILD, rekey_time, TIME, IN_CHILD(rekey_time), 0, "1h", "seconds after which the SA is rekeyed; 0: never")                     \
    K(CHILD, life_time, TIME, IN_CHILD(life_time), 0, "110 % of rekey_time", "seconds after which it ends")           \
    K(CHILD, rand_time, TIME, IN_CHILD(rand_time), 0, "life_time less rekey_time", "goes with `rekey_time`")                        \
    K(CHILD, rekey_bytes, SIZE, IN_CHILD(rekey_bytes), 0, "0", "octets after which the SA is replaced")                             \
    K(CHILD, life_bytes, SIZE, IN_CHILD(life_bytes), 0, "110 % of rekey_bytes", "octets after which it ends")                       \
    K(CHILD, rand_bytes, SIZE, IN_CHILD(rand_bytes), 0, "life_bytes less rekey_bytes", "a random part of it comes off `rekey_bytes`") \
    K(CHILD, rekey_packets, COUNT, IN_CHILD(rekey_packets), 0, "0", "packets after which the SA is replaced")                       \
    K(CHILD, life_packets, COUNT, IN_CHILD(life_packets), 0, "110 % of rekey_packets", "packets after which it ends")               \
    K(CHILD, rand_packets, COUNT, IN_CHILD(rand_packets), 0, "life_packets less rekey_packets", "a random part of it comes off `rekey_packets`") \
    K(CHILD, updown, ONLY, NOTHING, empty, "", NO_SCRIPTS)                                                                       \
    K(CHILD, hostaccess, ONLY, NOTHING, only_no, "no", NO_SCRIPTS)                                                               \
    K(CHILD, mode, ITEMS, ITEM(child_mode), 0, "tunnel", "tunnel, transport, pass or drop")                                      \
    K(CHILD, policies, ONLY, NOTHING, only_yes, "yes", "a CHILD SA without policies is " LATER)                                  \
    K(CHILD, policies_fwd_out, ONLY, NOTHING, only_no, "no", "forwarding policies of the kernel are not used")                   \
    K(CHILD, dpd_action, CHOICE, IN_CHILD(dpd_action), dpd_choices, "clear", "when the peer is dead")                               \
    K(CHILD, ipcomp, ONLY, NOTHING, only_no, "no", "IPComp is " LATER)                                                           \
    K(CHILD, inactivity, TIME, IN_CHILD(inactivity), 0, "0s", "seconds without traffic either way after which the SA is closed; 0: never")                         \
    K(CHILD, reqid, NUMBER, IN_CHILD(reqid), UINT32_MAX, "0", "number in listings; 0: chosen")                                      \
    K(CHILD, priority, NUMBER, IN_CHILD(priority), UINT32_MAX, "0", "rank of the policies, lower first; 0: computed")               \
    K(CHILD, interface, ONLY, NOTHING, empty, "", "policies for one interface are " LATER)                                       \
    K(CHILD, mark_in, ONLY, NOTHING, zero_mark, "0/0x00000000", MARKS_LATER)                                                     \
    K(CHILD, mark_in_sa, ONLY, NOTHING, only_no, "no", MARKS_LATER)                                                              \
    K(CHILD, mark_out, ONLY, NOTHING, zero_mark, "0/0x00000000", MARKS_LATER)                                                    \
    K(CHILD, set_mark_in, ONLY, NOTHING, zero_mark, "0/0x00000000", MARKS_LATER)                                                 \
    K(CHILD, set_mark_out, ONLY, NOTHING, zero_mark, "0/0x00000000", MARKS_LATER)                                                \
    K(CHILD, if_id_in, WORD, ITEM(child_if_id_in), 0, "the connection's", "what comes out of its SAs leaves by the TUN device of that number, `ipsec5` for 5; equal to `if_id_out`")                                                                \
    K(CHILD, if_id_out, WORD, ITEM(child_if_id_out), 0, "the connection's", "only what is routed into that device is protected, whatever else has the same selectors; 0 is as not given, and where the connection has none the selectors decide")                                                               \
    K(CHILD, route_metric, WORD, ITEM(child_route_metric), 0, "0", "espalierd's own: `remote_ts` is routed into the TUN device with this metric while the tunnel carries, and as a last resort behind those that do; 0: routes are yours") \
    K(CHILD, probe, WORD, ITEM(child_probe), 0, "", "espalierd's own: an address behind the peer that answers pings through this very tunnel, such as the peer's end inside it; where it does not answer three in turn the tunnel does not carry, whatever its SAs are") \
    K(CHILD, probe_from, WORD, ITEM(child_probe_from), 0, "an address of the machine in `local_ts`", "espalierd's own: our end inside the tunnel, which no interface needs to have; the peer's pings to it are answered") \
    K(CHILD, probe_delay, WORD, ITEM(child_probe_delay), 0, "1s", "espalierd's own: between two pings")                                \
    K(CHILD, label, ONLY, NOTHING, empty, "", "security labels are " LATER)                                                      \
    K(CHILD, label_mode, ONLY, NOTHING, label_mode_choices, "system", "security labels are " LATER)                              \
    K(CHILD, tfc_padding, WORD, ITEM(child_tfc_padding), 0, "0", "octets that packets inside are padded to, `mtu` or more: as many as the path and `mtu` of the settings allow; 0: none; of ESP in tunnel mode") \
    K(CHILD, tfc_dummies, WORD, ITEM(child_tfc_dummies), 0, "0", "espalierd's own: dummy packets a second that an SA sends while it sends nothing else, up to 100; with `tfc_padding`, whose length they have") \
    K(CHILD, replay_window, NUMBER, IN_CHILD(replay_window), 1024, "`replay_window` of the settings", "packets; 0: no replay check") \
    K(CHILD, hw_offload, CHOICE, IN_CHILD(hw_offload), offload_choices, "`offload_default` of the settings", "where the SA runs")   \
    K(CHILD, copy_df, YESNO, IN_CHILD(copy_df), 0, "yes", "the DF bit into the outer header; no: what is too long is cut after encryption")                                       \
    K(CHILD, copy_ecn, YESNO, IN_CHILD(copy_ecn), 0, "yes", "ECN into the outer header and back")                                   \
    K(CHILD, copy_dscp, ITEMS, ITEM(child_copy_dscp), 0, "out", "out, in, yes or no")                                            \
    K(CHILD, icmp, ONLY, NOTHING, only_no, "no", "ICMP errors past the selectors are " LATER)                                    \
    K(CHILD, per_cpu_sas, ONLY, NOTHING, only_no, "no", "SAs per CPU are " LATER)                                                \
    K(CHILD, start_action, CHOICE, IN_CHILD(start_action), action_choices, "none", "when the connection is loaded")                 \
    K(CHILD, close_action, CHOICE, IN_CHILD(close_action), action_choices, "none", "when the peer has closed the CHILD SA")

// Sections of `secrets`; swanctl reads them and sends load-shared and load-key.
#define SECRET_KEYS(K)                                                                                                            \
    K(EAP, secret, ITEMS, NOTHING, 0, "", "the password; must be given. XAuth's is refused") \
    K(EAP, id, ITEMS, NOTHING, 0, "", "the user name that it goes by; id1, id2 … for more; must be given") \
    K(NTLM, secret, NEVER, NOTHING, 0, "", NTLM_NEVER)                                                                           \
    K(NTLM, id, NEVER, NOTHING, 0, "", NTLM_NEVER)                                                                               \
    K(IKE, secret, ITEMS, NOTHING, 0, "", "the preshared key: text, 0x hexadecimal or 0s base64; must be given")                 \
    K(IKE, id, ITEMS, NOTHING, 0, "everybody", "an identity that the secret belongs to; id1, id2 … for more")                    \
    K(PPK, secret, ITEMS, NOTHING, 0, "", "the postquantum preshared key, likewise: at least 32 random octets (RFC 8784 6); must be given") \
    K(PPK, id, ITEMS, NOTHING, 0, "", "an identity that it goes by; id1, id2 … for more; must be given")                          \
    K(PRIVATE, file, ITEMS, NOTHING, 0, "", KEY_FILE) \
    K(PRIVATE, secret, ITEMS, NOTHING, 0, "", KEY_SECRET) \
    K(RSA, file, ITEMS, NOTHING, 0, "", KEY_FILE) \
    K(RSA, secret, ITEMS, NOTHING, 0, "", KEY_SECRET) \
    K(ECDSA, file, ITEMS, NOTHING, 0, "", KEY_FILE) \
    K(ECDSA, secret, ITEMS, NOTHING, 0, "", KEY_SECRET) \
    K(PKCS8, file, ITEMS, NOTHING, 0, "", KEY_FILE) \
    K(PKCS8, secret, ITEMS, NOTHING, 0, "", KEY_SECRET) \
    K(PKCS12, file, ITEMS, NOTHING, 0, "", "a file in pkcs12, which swanctl takes apart") \
    K(PKCS12, secret, ITEMS, NOTHING, 0, "", KEY_SECRET) \
    K(TOKEN, handle, NEVER, NOTHING, 0, "", TOKEN_LATER)                                                                         \
    K(TOKEN, slot, NEVER, NOTHING, 0, "", TOKEN_LATER)                                                                           \
    K(TOKEN, module, NEVER, NOTHING, 0, "", TOKEN_LATER)                                                                         \
    K(TOKEN, pin, NEVER, NOTHING, 0, "", TOKEN_LATER)

#define POOL_AND_AUTHORITY_KEYS(K)                                                                                                            \
    K(POOL, addrs, WORD, ITEM(pool_addrs), 0, "", "a network, whose first and last address are not given out, or a range FIRST-LAST; must be given") \
    K(POOL, dns, ITEMS, ITEM(pool_attr), 0, "", "name servers") \
    K(POOL, nbns, ITEMS, ITEM(pool_attr), 0, "", "WINS servers, IPv4") \
    K(POOL, dhcp, ITEMS, ITEM(pool_attr), 0, "", "DHCP servers") \
    K(POOL, netmask, ITEMS, ITEM(pool_attr), 0, "", "a netmask, IPv4") \
    K(POOL, server, ITEMS, ITEM(pool_attr), 0, "", "servers, as Windows 7 takes them") \
    K(POOL, subnet, ITEMS, ITEM(pool_attr), 0, "", "networks behind us (RFC 7296 3.15.2)") \
    K(POOL, p_cscf, ITEMS, ITEM(pool_attr), 0, "", "SIP servers (RFC 7651)") \
    K(POOL, split_include, ITEMS, ITEM(pool_attr), 0, "", "networks behind us as Cisco's clients take them, IPv4") \
    K(POOL, split_exclude, ITEMS, ITEM(pool_attr), 0, "", "networks beside the tunnel as Cisco's clients take them, IPv4") \
    K(POOL, NUMBER, ITEMS, ITEM(pool_attr_number), 0, "", "an attribute by its type: an address, a network (IPv4 with its mask, IPv6 with its prefix length), or text") \
    K(AUTHORITY, cacert, BLOBS, OCTETS(authority_cacert), 0, "", "its certificate, which is trusted; this or `file` must be given") \
    K(AUTHORITY, file, WORD, ITEM(authority_file), 0, "", "the same by an absolute path, read by the daemon") \
    K(AUTHORITY, handle, NEVER, NOTHING, 0, "", TOKEN_LATER) \
    K(AUTHORITY, slot, NEVER, NOTHING, 0, "", TOKEN_LATER) \
    K(AUTHORITY, module, NEVER, NOTHING, 0, "", TOKEN_LATER) \
    K(AUTHORITY, crl_uris, ITEMS, ITEM(authority_crl_uri), 0, "", "where its CRLs are, before those that a certificate names: http, file. No http server of this machine's own addresses is asked: what it serves itself is to be named as a file") \
    K(AUTHORITY, ocsp_uris, ITEMS, ITEM(authority_ocsp_uri), 0, "", "its OCSP responders: http") \
    K(AUTHORITY, cert_uri_base, WORD, ITEM(authority_uri_base), 0, "", "taken with a warning: certificates are sent whole, not by hash and URL")

#define SWANCTL_KEYS(K)                                                                                                           \
    CONN_KEYS(K) AUTH_KEYS(K, LOCAL, local) LOCAL_CHAIN_KEYS(K) AUTH_KEYS(K, REMOTE, remote) REMOTE_CHAIN_KEYS(K) CERT_KEYS(K, LOCAL_CERT) CERT_KEYS(K, REMOTE_CERT)       \
    CERT_KEYS(K, REMOTE_CACERT) CHILD_KEYS(K) SECRET_KEYS(K) POOL_AND_AUTHORITY_KEYS(K)
// clang-format on

#endif
