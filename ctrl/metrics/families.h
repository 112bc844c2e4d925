// SPDX-License-Identifier: Apache-2.0
// Every family of metrics, as one list: it makes the names, the headers and the table in README.md. A sample
// of a COUNTER has the suffix _total, one of an INFO _info. Where a name ends with its unit, that is told
// too.
#ifndef CTRL_METRICS_FAMILIES_H
#define CTRL_METRICS_FAMILIES_H

enum family_type { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_INFO, FAMILY_HISTOGRAM };

// X(symbol, type, name, unit or "", labels, help)
// clang-format off
#define FAMILY_LIST(X) \
    X(BUILD, INFO, "espalier_build", "", "version", "The version that runs.") \
    X(PROCESS_CPU, COUNTER, "process_cpu_seconds", "seconds", "process", "CPU time of each of espalierd's processes, user and system.") \
    X(PROCESS_RESIDENT, GAUGE, "process_resident_memory_bytes", "bytes", "process", "Memory of each process that is in RAM.") \
    X(PROCESS_VIRTUAL, GAUGE, "process_virtual_memory_bytes", "bytes", "process", "Address space of each process.") \
    X(PROCESS_START, GAUGE, "process_start_time_seconds", "seconds", "process", "When each process was started, since 1970.") \
    X(CONNECTION_UP, GAUGE, "espalier_connection_up", "", "connection", "Whether a loaded connection has an IKE SA that is up. Those that are down are listed too.") \
    X(CONNECTION_STARTS, GAUGE, "espalier_connection_starts", "", "connection", "Whether it is to be up without anybody asking: a child has start_action = start.") \
    X(CONNECTION_SAS, GAUGE, "espalier_connection_ike_sas", "", "connection", "IKE SAs of a connection that are up.") \
    X(CONNECTION_ESTABLISHED, COUNTER, "espalier_connection_ike_sas_established", "", "connection", "IKE SAs of a connection that came up, without those of rekeyings.") \
    X(CONNECTION_REKEYED, COUNTER, "espalier_connection_ike_sas_rekeyed", "", "connection", "Rekeyings of a connection's IKE SAs, by either end.") \
    X(CONNECTION_FAILED, COUNTER, "espalier_connection_failures", "", "connection, reason", "Attempts that did not lead to an IKE SA, of either end: no_answer, authentication, no_proposal, invalid_syntax, invalid_ke, unsupported_payload, temporary, refused, terminated, other.") \
    X(CHILD_UP, GAUGE, "espalier_child_up", "", "connection, child", "Whether a child of a loaded connection has a CHILD SA.") \
    X(CHILD_SAS, GAUGE, "espalier_child_sas", "", "connection, child", "CHILD SAs that are up and have not been replaced.") \
    X(CHILD_INSTALLED, COUNTER, "espalier_child_sas_installed", "", "connection, child", "CHILD SAs that were installed, rekeyings too.") \
    X(CHILD_REKEYED, COUNTER, "espalier_child_sas_rekeyed", "", "connection, child", "CHILD SAs that were replaced by rekeying, by either end.") \
    X(CHILD_FAILED, COUNTER, "espalier_child_sas_failed", "", "connection, child, reason", "CHILD SAs that did not come up: no_proposal, ts_unacceptable, no_address, invalid_ke, temporary, other.") \
    X(CHILD_TRIES, GAUGE, "espalier_child_failed_tries", "", "connection, child", "How often in a row a child that is to be up has been tried in vain.") \
    X(CHILD_NEXT_TRY, GAUGE, "espalier_child_next_try_seconds", "seconds", "connection, child", "In how long it is tried again; not there while it is being tried, or where nothing is due.") \
    X(CHILD_RX_BYTES, COUNTER, "espalier_child_received_bytes", "bytes", "connection, child", "Octets of inner packets let in, by every engine and every SA of the child.") \
    X(CHILD_RX_PACKETS, COUNTER, "espalier_child_received_packets", "packets", "connection, child", "Inner packets let in.") \
    X(CHILD_TX_BYTES, COUNTER, "espalier_child_sent_bytes", "bytes", "connection, child", "Octets of inner packets sent, by every engine and every SA of the child.") \
    X(CHILD_TX_PACKETS, COUNTER, "espalier_child_sent_packets", "packets", "connection, child", "Inner packets sent.") \
    X(CHILD_DROPPED, COUNTER, "espalier_child_dropped_packets", "packets", "connection, child", "Packets for an SA of the child that were dropped on their way out.") \
    X(IKE_SAS, GAUGE, "espalier_ike_sas", "", "", "IKE SAs in every state.") \
    X(IKE_HALF_OPEN, GAUGE, "espalier_ike_half_open_sas", "", "", "Of them those whose initiator has not proven itself yet.") \
    X(IKE_ESTABLISHED, COUNTER, "espalier_ike_sas_established", "", "", "IKE SAs that came up, without those of rekeyings.") \
    X(IKE_FAILED, COUNTER, "espalier_ike_sas_failed", "", "", "IKE SAs that never came up.") \
    X(IKE_REKEYED, COUNTER, "espalier_ike_sas_rekeyed", "", "", "IKE SAs that were rekeyed.") \
    X(IKE_RESUMED, COUNTER, "espalier_ike_sas_resumed", "", "", "Of those that came up: by a ticket, without a key exchange.") \
    X(IKE_TICKETS_REFUSED, COUNTER, "espalier_ike_tickets_refused", "", "", "Tickets answered by TICKET_NACK.") \
    X(IKE_AUTH_FAILED, COUNTER, "espalier_ike_authentications_failed", "", "", "Authentications that failed, at either end.") \
    X(IKE_CHILD_INSTALLED, COUNTER, "espalier_ike_child_sas_installed", "", "", "CHILD SAs installed, of all connections that there ever were.") \
    X(IKE_CHILD_REKEYED, COUNTER, "espalier_ike_child_sas_rekeyed", "", "", "CHILD SAs rekeyed, likewise.") \
    X(IKE_CHILD_FAILED, COUNTER, "espalier_ike_child_sas_failed", "", "", "CHILD SAs that did not come up, likewise.") \
    X(IKE_HANDSHAKE, HISTOGRAM, "espalier_ike_handshake_seconds", "seconds", "", "From the first message of an IKE SA that came up until it was up.") \
    X(IKE_REQUESTS, COUNTER, "espalier_ike_requests", "", "exchange, direction", "Requests received and sent.") \
    X(IKE_RETRANSMITS, COUNTER, "espalier_ike_retransmissions", "", "", "Requests of ours that were sent again.") \
    X(IKE_REPEATS, COUNTER, "espalier_ike_repeated_requests", "", "", "Requests received again and answered as before.") \
    X(IKE_DROPPED, COUNTER, "espalier_ike_dropped_messages", "messages", "reason", "Messages dropped: malformed, of no SA of ours, in the wrong state, not authentic, over a limit, not read in time.") \
    X(IKE_COOKIES, COUNTER, "espalier_ike_cookies_sent", "", "", "IKE_SA_INIT requests answered by COOKIE.") \
    X(IKE_LIVENESS, COUNTER, "espalier_ike_liveness_checks_sent", "", "", "Liveness checks (DPD) sent.") \
    X(IKE_FRAGMENTS, COUNTER, "espalier_ike_fragments_received", "", "", "Fragments of IKE messages received.") \
    X(IKE_FRAGMENTS_DROPPED, COUNTER, "espalier_ike_fragments_dropped", "", "", "Fragments that were malformed, repeated or too many.") \
    X(IKE_FRAGMENTED, COUNTER, "espalier_ike_fragmented_messages", "messages", "direction", "Messages received and sent in fragments.") \
    X(IKE_INCOMPLETE, COUNTER, "espalier_ike_incomplete_messages", "messages", "reason", "Messages given up while fragments of them were missing.") \
    X(LOG_DROPPED, COUNTER, "espalier_log_dropped_lines", "lines", "reason", "Lines about strangers' datagrams over the limit, lines that nobody read, and alerts over their limit.") \
    X(ENGINE_SAS, GAUGE, "espalier_engine_child_sas", "", "engine", "CHILD SAs in each engine.") \
    X(ENGINE_BYTES, COUNTER, "espalier_engine_bytes", "bytes", "engine, direction", "Octets of inner packets, by the engine that sealed or opened them.") \
    X(ENGINE_PACKETS, COUNTER, "espalier_engine_packets", "packets", "engine, direction", "Inner packets, likewise.") \
    X(CARD_PRESENT, GAUGE, "espalier_card_present", "", "", "Whether a card is in use.") \
    X(CARD_EVENTS, COUNTER, "espalier_card_events", "", "name", "What cards and their driver count, by the card's own names, as far as it was seen: a card that fails takes with it what it has counted since the scrape before.") \
    X(FAILOVERS, COUNTER, "espalier_failovers", "", "", "Cards that were left for software.") \
    X(FAILOVER_SAS, COUNTER, "espalier_failover_moved_sas", "", "", "SAs that went on in software.") \
    X(FAILOVER_RERUN, COUNTER, "espalier_failover_rerun_packets", "packets", "", "Packets that a card had and software did again.") \
    X(CARD_MOVES, COUNTER, "espalier_card_moved_sas", "", "engine", "SAs that have changed to an engine because they carried more, or less, than others and a card has not room for all.") \
    X(FAILOVER_DETECTED, GAUGE, "espalier_failover_detection_seconds", "seconds", "", "At the last one: from the card's last completion until it was given up.") \
    X(FAILOVER_RESUMED, GAUGE, "espalier_failover_resume_seconds", "seconds", "", "At the last one: from there until software had sent a packet.") \
    X(DROPPED, COUNTER, "espalier_dropped_packets", "packets", "direction, reason", "Packets dropped, by the reasons of the register manual.") \
    X(FLEET_NOT_OURS, COUNTER, "espalier_fleet_not_ours_packets", "packets", "", "Packets of connections of a fleet that this node does not have (any more): not sent.") \
    X(UNPROTECTED, COUNTER, "espalier_protected_without_sa_packets", "packets", "", "Packets that policy protects and no SA was there for: not sent.") \
    X(UNKNOWN_SPI, COUNTER, "espalier_unknown_spi_packets", "packets", "", "ESP and AH of an SPI that there is not, as far as ike was told.") \
    X(QUEUE_DROPS, COUNTER, "espalier_queue_dropped_packets", "packets", "queue", "Packets that a full queue had no room for: the TUN's, a socket's, path's own.") \
    X(NOTES_FULL, COUNTER, "espalier_path_notes_without_room", "", "", "Times that there was no room for what path had to tell ike: said later, or, of strangers' packets, never.") \
    X(SEND_ERRORS, COUNTER, "espalier_send_failed_packets", "packets", "reason", "Outer packets that the kernel did not take.") \
    X(TUN_ERRORS, COUNTER, "espalier_tun_failed_packets", "packets", "", "Inner packets that the TUN did not take.") \
    X(PAST_US, COUNTER, "espalier_reinjected_packets", "packets", "result", "Packets in the TUN that no policy protects: sent on past us, or refused.") \
    X(ROUTE_BASED_DROPS, COUNTER, "espalier_route_based_dropped_packets", "packets", "reason", "Packets led into a connection's own TUN that did not go on: none of its policies has them, or they were our own IKE and ESP.") \
    X(ICMP_SENT, COUNTER, "espalier_icmp_errors_sent", "", "type", "ICMP errors sent inward: administratively prohibited, too big.") \
    X(FRAGMENTED, COUNTER, "espalier_fragmented_packets", "packets", "encryption", "Packets fragmented before or after encryption.") \
    X(FRAGMENTS, COUNTER, "espalier_fragments_made", "", "", "Fragments that came of them.") \
    X(LATE_FRAGMENTS, COUNTER, "espalier_fragments_without_first", "", "", "Fragments whose first one had not been seen when they came.") \
    X(LOST_FRAGMENTS, COUNTER, "espalier_dropped_fragments", "", "reason", "Those of them that were dropped: their first one did not come within a second, or too many waited.") \
    X(MSS_CLAMPED, COUNTER, "espalier_mss_clamped_packets", "packets", "", "TCP packets whose MSS was lowered.") \
    X(DUMMIES, COUNTER, "espalier_sent_dummy_packets", "packets", "", "Dummy packets sent (tfc_dummies), which count nowhere else.") \
    X(KEEPALIVES, COUNTER, "espalier_nat_keepalives_received", "", "", "NAT keepalives received.") \
    X(FLOW_LOOKUPS, COUNTER, "espalier_flow_lookups", "", "result", "Look-ups of policy in the flow cache.") \
    X(CALLS, COUNTER, "espalier_socket_calls", "", "direction", "System calls that received or sent datagrams.") \
    X(TOGETHER, COUNTER, "espalier_joined_packets", "packets", "place", "What came or went several packets at a time.") \
    X(CERT_NOT_AFTER, GAUGE, "espalier_certificate_not_after_timestamp_seconds", "seconds", "subject, kind, private_key, fingerprint", "When a certificate that the daemon holds expires.") \
    X(CERT_NOT_BEFORE, GAUGE, "espalier_certificate_not_before_timestamp_seconds", "seconds", "subject, kind, private_key, fingerprint", "From when on it is valid.") \
    X(CRL_NEXT_UPDATE, GAUGE, "espalier_crl_next_update_timestamp_seconds", "seconds", "issuer, fingerprint", "When the next list of revoked certificates is due.") \
    X(SA_IKE, INFO, "espalier_ike_sa", "", "connection, id, state, role, remote", "An IKE SA; only with metrics_per_sa.") \
    X(SA_IKE_AGE, GAUGE, "espalier_ike_sa_age_seconds", "seconds", "connection, id", "How long it has been up.") \
    X(SA_IKE_REKEY, GAUGE, "espalier_ike_sa_rekey_seconds", "seconds", "connection, id", "Until it is rekeyed.") \
    X(SA_CHILD, INFO, "espalier_child_sa", "", "connection, child, id, state, spi_in, spi_out, engine, reason", "A CHILD SA, its engine and why it is not on a card; only with metrics_per_sa.") \
    X(SA_CHILD_AGE, GAUGE, "espalier_child_sa_age_seconds", "seconds", "connection, child, id", "How long it has been installed.") \
    X(SA_CHILD_REKEY, GAUGE, "espalier_child_sa_rekey_seconds", "seconds", "connection, child, id", "Until it is rekeyed.") \
    X(SA_CHILD_RX_BYTES, COUNTER, "espalier_child_sa_received_bytes", "bytes", "connection, child, id", "Octets of inner packets that this SA let in.") \
    X(SA_CHILD_RX_PACKETS, COUNTER, "espalier_child_sa_received_packets", "packets", "connection, child, id", "Inner packets that it let in.") \
    X(SA_CHILD_TX_BYTES, COUNTER, "espalier_child_sa_sent_bytes", "bytes", "connection, child, id", "Octets of inner packets that it sent.") \
    X(SA_CHILD_TX_PACKETS, COUNTER, "espalier_child_sa_sent_packets", "packets", "connection, child, id", "Inner packets that it sent.") \
    X(SA_CHILD_SEQUENCE, GAUGE, "espalier_child_sa_sequence_number", "", "connection, child, id", "Its last outbound sequence number.") \
    X(COLLECT, GAUGE, "espalier_metrics_collect_seconds", "seconds", "", "How long it took to ask for all this.") \
    X(LEFT_OUT, GAUGE, "espalier_metrics_left_out", "", "list", "Entries of a list (or counters of path and its cards) that its bound left out of this answer, at least.")
// clang-format on
enum family {
#define X(sym, type, name, unit, labels, help) FAM_##sym,
    FAMILY_LIST(X)
#undef X
        FAM_COUNT
};
struct family_info {
    enum family_type type;
    const char *name, *unit, *labels, *help;
};
extern const struct family_info families[FAM_COUNT];

#endif
