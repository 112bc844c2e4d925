#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seals and opens AH packets for test_soft_ah by scapy's IPsec layer: a line a packet on stdin, a line each on stdout.

Line: seal|open, tunnel|transport, 4|6 (outside), HMAC algorithm, key, ESN (0, 1), sequence number, SPI, packet.
scapy 2.5 takes the addresses of a routing header in another order when it seals, so such packets are only opened by it.
"""
import sys

from scapy.config import conf
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, SecurityAssociation

conf.verb = 0
AUTH = {"sha1": "HMAC-SHA1-96", "sha256": "SHA2-256-128", "sha384": "SHA2-384-192", "sha512": "SHA2-512-256"}


def answer(text):
    op, mode, family, integ, key, esn, seq, spi, packet = text.split()
    seq, raw, six = int(seq), bytes.fromhex(packet), family == "6"
    tunnel = None
    if mode == "tunnel":
        tunnel = (IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=64) if six else
                  IP(src="192.0.2.1", dst="198.51.100.2", ttl=64, tos=0x28))
    sa = SecurityAssociation(AH, spi=int(spi), auth_algo=AUTH[integ], auth_key=bytes.fromhex(key), tunnel_header=tunnel,
                             esn_en=esn == "1", esn=seq >> 32)
    pkt = (IPv6 if raw[0] >> 4 == 6 else IP)(raw)
    if op == "open":
        return bytes(sa.decrypt(pkt))
    return bytes(sa.encrypt(pkt, seq_num=seq & 0xFFFFFFFF, esn_en=esn == "1", esn=seq >> 32))


for request in sys.stdin:
    try:
        print(answer(request).hex())
    except Exception as fault:  # the test shows it
        print("fault: " + type(fault).__name__ + ": " + str(fault).replace("\n", " "))
