#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes esp_modes.inc: ESP packets in every mix of families, modes and encapsulation, sealed by scapy's IPsec layer.

Run by hand: python3 tests/vectors/esp_modes.py > tests/vectors/esp_modes.inc (scapy 2.5, python3-cryptography).
The fields that scapy leaves to its caller are filled in here from RFC 4301 section 5.1.2 and RFC 6040 section 4.1;
the UDP length, which scapy 2.5 computes without the payload, and the checksum of UDP over IPv6, which it leaves at zero,
by scapy's own pseudo header sum.
"""
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting,
                                PadN, RouterAlert, in6_chksum)
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw
from scapy.utils import checksum

conf.verb = 0
KEY = bytes(range(32))
SALT = b"\xa1\xa2\xa3\xa4"
SPI = 0xC0FFEE01
A4, B4, A6, B6 = "192.0.2.1", "198.51.100.2", "2001:db8::1", "2001:db8:ffff::2"
DATA = bytes(range(61))



def address(text):
    raw = bytes(IPv6(dst=text))[24:40] if ":" in text else bytes(IP(dst=text))[16:20]
    return raw.hex()


def inner(family, tos, df=True):
    if family == 6:
        return IPv6(src="2001:db8:a::1", dst="2001:db8:b::1", tc=tos, fl=0x12345) / UDP(sport=1000, dport=2000) / DATA
    return IP(src="10.1.0.1", dst="10.2.0.1", tos=tos, id=0x1234, flags="DF" if df else 0) / UDP(sport=1000, dport=2000) / DATA


def fix_udp(raw):
    """The length, and over IPv6 the checksum, of the UDP header right behind an IP header."""
    six = raw[0] >> 4 == 6
    at = 40 if six else 4 * (raw[0] & 15)
    body = bytearray(raw[at:])
    body[4:8] = len(body).to_bytes(2, "big") + b"\0\0"
    if six:
        pkt = IPv6(raw)
        value = in6_chksum(17, IPv6(src=pkt.src, dst=pkt.dst), bytes(body)) or 0xFFFF
        body[6:8] = value.to_bytes(2, "big")
    return raw[:at] + bytes(body)


def seal(pkt, seq, esn, tunnel, udp):
    sa = SecurityAssociation(ESP, spi=SPI, crypt_algo="AES-GCM", crypt_key=KEY + SALT, tunnel_header=tunnel,
                             nat_t_header=UDP(sport=4500, dport=4501) if udp else None, esn_en=esn, esn=seq >> 32)
    raw = bytes(sa.encrypt(pkt, seq_num=seq & 0xFFFFFFFF, iv=seq.to_bytes(8, "big"), esn_en=esn, esn=seq >> 32))
    return fix_udp(raw) if udp else raw


def emit(name, mode, outer6, inside, udp, esn, seq, ends, pkt, outer, back=None):
    fields = [f'"{name}"', mode, str(outer6).lower(), str(inside), str(udp).lower(), str(esn).lower(), f"{seq}ull"]
    texts = [address(ends[0]), address(ends[1]), bytes(pkt).hex(), outer.hex(), bytes(back if back else pkt).hex()]
    print("V(" + ", ".join(fields) + ",")
    for t in texts:
        rows = [t[i:i + 88] for i in range(0, len(t), 88)] or [""]
        print("  " + "\n  ".join(f'"{r}"' for r in rows) + ("," if t is not texts[-1] else ")"))


def tunnels():
    seq = 7
    for inside in (4, 6):
        for outside in (4, 6):
            for udp in (False, True):
                for tos, df in ((0, True), (0xB9, False)):
                    esn = seq % 3 == 0
                    number = seq + (5 << 32 if esn else 0)
                    pkt = inner(inside, tos, df)
                    pkt = pkt.__class__(bytes(pkt))
                    keep = inside == 6 or df
                    head = (IPv6(src=A6, dst=B6, tc=tos, hlim=64, fl=0) if outside == 6 else
                            IP(src=A4, dst=B4, tos=tos, ttl=64, flags="DF" if keep else 0, id=0 if keep else 1))
                    emit(f"tunnel {inside} in {outside}{' udp' if udp else ''} tos {tos:02x}", "ESP_TUNNEL",
                         outside == 6, 1 if inside == 4 else 2, udp, esn, number,
                         (A6, B6) if outside == 6 else (A4, B4), pkt, seal(pkt, number, esn, head, udp))
                    seq += 1


def payloads(six):
    yield "tcp", TCP(sport=1234, dport=80, seq=1, flags="PA") / DATA
    yield "udp", UDP(sport=1000, dport=2000) / DATA
    yield ("icmp6", ICMPv6EchoRequest(id=7, seq=1, data=DATA)) if six else ("icmp", ICMP(id=7, seq=1) / DATA)


def heads():
    yield "4", IP(src=A4, dst=B4, tos=0x2A, ttl=33, id=0x4321)
    yield "4 with options", IP(src=A4, dst=B4, ttl=33, flags="DF", options=[IPOption_Router_Alert()])
    yield "6", IPv6(src=A6, dst=B6, tc=0x2A, hlim=33, fl=0xABCDE)
    yield "6 hop-by-hop", IPv6(src=A6, dst=B6) / IPv6ExtHdrHopByHop(options=[RouterAlert(), PadN(optdata=b"\0\0")])
    yield "6 routing", (IPv6(src=A6, dst=B6) / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]) /
                        IPv6ExtHdrRouting(type=2, addresses=["2001:db8:c::1"], segleft=0) /
                        IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\1" * 4)]))


def transports():
    seq = 100
    for name, head in heads():
        six = head.version == 6
        for what, payload in payloads(six):
            for udp in (False, True):
                if udp and len(head) > 40:
                    continue  # UDP in front of ESP stands right behind the IP header in what scapy makes
                pkt = (IPv6 if six else IP)(bytes(head / payload))
                outer = seal(pkt, seq, False, None, udp)
                emit(f"transport {name} {what}{' udp' if udp else ''}", "ESP_TRANSPORT", six, 0, udp, False, seq,
                     (A6, B6) if six else (A4, B4), pkt, outer)
                seq += 1


def behind_nat():
    """Transport mode through a NAT: what arrives has other addresses, and checksums that hold for them."""
    seq = 200
    for six, near, far, natted in ((False, A4, B4, "203.0.113.9"), (True, A6, B6, "2001:db8:9::9")):
        for what, payload in payloads(six):
            head = IPv6(src=near, dst=far) if six else IP(src=near, dst=far, id=1)
            outer = seal(head.__class__(bytes(head / payload)), seq, False, None, True)
            if six:
                outer = fix_udp(outer[:8] + bytes.fromhex(address(natted)) + outer[24:])
            else:
                raw = bytearray(outer[:12] + bytes.fromhex(address(natted)) + outer[16:])
                raw[10:12] = b"\0\0"
                raw[10:12] = checksum(bytes(raw[:20])).to_bytes(2, "big")
                outer = bytes(raw)
            back = (IPv6(src=natted, dst=far) if six else IP(src=natted, dst=far, id=1)) / payload
            emit(f"nat {6 if six else 4} {what}", "ESP_TRANSPORT", six, 0, True, False, seq, (near, far), b"", outer,
                 bytes(back))
            seq += 1


print("// SPDX-License-Identifier: Apache-2.0")
print("// Generated by esp_modes.py with scapy; do not edit. V(name, mode, outer is IPv6, families inside, UDP, ESN, sequence,")
print("// source, destination, packet to encapsulate or none, ESP packet, packet after decapsulation), in hexadecimal.")
tunnels()
transports()
behind_nat()
