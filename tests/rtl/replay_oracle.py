#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An independent model of `espalier-sim replay`: makes a capture, an SA file and what must come out of them.

usage: replay_oracle.py DIR SEED PACKETS [damage] [soft] [transport]     writes DIR/{sad,in.pcap,expect.pcap,expect.json}

With `soft` some states have what the card has not: AES-GCM with 192-bit keys, ChaCha20-Poly1305. With `transport` every other state is of transport mode. With `damage` octets of most packets are overwritten at random afterwards, so that nothing can be expected of them but
that all engines agree; expect.* then do not fit.

AES-GCM and ChaCha20-Poly1305 are python3-cryptography's; everything else is written from RFC 4303, 4106, 7634, 3948 and 6040, not from the C code.
"""
import ipaddress
import json
import random
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

SOFT = "soft" in sys.argv[4:]
TRANSPORT = "transport" in sys.argv[4:]


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(src, dst, proto, payload, tos=0, ident=0, frag=0, ttl=64, total=None, options=b""):
    total = 20 + len(options) + len(payload) if total is None else total
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, tos, total, ident, frag, ttl, proto, 0, src, dst) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def own(ip, proto, payload):
    """The same header of 20 octets in front of another payload."""
    head = ip[:2] + struct.pack(">H", 20 + len(payload)) + ip[4:9] + bytes([proto, 0, 0]) + ip[12:20]
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def addr(text):
    return ipaddress.ip_address(text).packed


class State:
    """One `xfrm state`: an outbound and an inbound SA with counters of their own."""

    def __init__(self, rnd, index):
        self.index = index
        self.src, self.dst = addr("192.0.2.%d" % (index + 1)), addr("198.51.100.%d" % (index + 1))
        self.spi = rnd.choice([0x100 + index, rnd.randrange(256, 1 << 32)])
        self.chacha = SOFT and rnd.random() < 0.3
        sizes = [32] if self.chacha else [16, 24, 32] if SOFT else [16, 32]
        self.key, self.salt = rnd.randbytes(rnd.choice(sizes)), rnd.randbytes(4)
        self.reqid = index + 10
        self.esn = rnd.random() < 0.4
        self.window = rnd.choice([1, 32, 64, 100, 1024] + ([] if self.esn else [0, 0]))
        self.udp = (rnd.choice([4500, 40000]), rnd.choice([4500, 45000])) if rnd.random() < 0.5 else None
        self.noecn, self.decap_dscp = rnd.random() < 0.2, rnd.random() < 0.2
        self.nopmtu, self.no_dscp = rnd.random() < 0.3, rnd.random() < 0.2
        near = (1 << 32) - rnd.randrange(2, 40)
        high = rnd.randrange(1, 1000) << 32
        self.oseq = rnd.choice([0, 0, 77, near] + ([near + high, high] if self.esn else []))
        self.iseq = rnd.choice([0, 0, 5, 2000, near - 40] + ([near + high, high, high + 20] if self.esn else []))
        self.hard_packets = rnd.choice([0, 0, 0, 0, 0, 0, 30])
        self.tfc = rnd.choice([0, 0, 64, 400, 1400]) if SOFT else 0
        self.seen, self.top = {self.iseq} if self.iseq else set(), self.iseq
        self.stats = {"out": [0, 0, 0], "in": [0, 0, 0]}  # packets, bytes, drops
        self.first_oseq = self.oseq
        self.remote = self.iseq  # the far side's last sequence number
        self.transport = TRANSPORT and index % 2 == 0
        if self.transport:
            self.udp, self.tfc = None, 0
        self.aead = ChaCha20Poly1305(self.key) if self.chacha else AESGCM(self.key)

    def line(self):
        words = ["xfrm state add src %s dst %s proto esp spi 0x%x mode %s reqid %d \\\n " % (
            ipaddress.ip_address(self.src), ipaddress.ip_address(self.dst), self.spi,
            "transport" if self.transport else "tunnel", self.reqid)]
        name = "rfc7539esp(chacha20,poly1305)" if self.chacha else "rfc4106(gcm(aes))"
        words.append("aead '%s' 0x%s 128 replay-window %d" % (name, (self.key + self.salt).hex(), self.window))
        words.append("replay-oseq %d replay-seq %d" % (self.first_oseq & 0xFFFFFFFF, self.top & 0xFFFFFFFF))
        if self.esn:
            words.append("replay-oseq-hi %d replay-seq-hi %d" % (self.first_oseq >> 32, self.top >> 32))
        if self.udp:
            words.append("encap espinudp %d %d 0.0.0.0" % self.udp)
        flags = [n for n, on in (("esn", self.esn), ("noecn", self.noecn), ("decap-dscp", self.decap_dscp),
                                 ("nopmtudisc", self.nopmtu)) if on]
        if flags:
            words.append("flag " + " ".join(flags))
        if self.no_dscp:
            words.append("extra-flag dont-encap-dscp")
        if self.tfc:
            words.append("tfcpad %d" % self.tfc)
        if self.hard_packets:
            words.append("limit packet-hard %d" % self.hard_packets)
        return " ".join(words)

    def subnet(self):
        return "10.%d.0.0/16" % (self.index + 1)

    # ---- the cryptographic part, shared by model and far side
    def aad(self, seq):
        if self.esn:
            return struct.pack(">IQ", self.spi, seq)
        return struct.pack(">II", self.spi, seq & 0xFFFFFFFF)

    def seal(self, seq, plain, iv=None):
        iv = struct.pack(">Q", seq) if iv is None else iv
        body = self.aead.encrypt(self.salt + iv, plain, self.aad(seq))
        return struct.pack(">II", self.spi, seq & 0xFFFFFFFF) + iv + body

    def wrap(self, esp, tos, df, ident, sport=None, src=None):
        if self.udp:
            esp = struct.pack(">HHHH", sport or self.udp[0], self.udp[1], 8 + len(esp), 0) + esp
        return ip4(src or self.src, self.dst, 17 if self.udp else 50, esp, tos, ident, df)

    # ---- outbound
    def encapsulate(self, ip):
        if len(ip) < 20:
            return "TRUNCATED", None
        total = struct.unpack(">H", ip[2:4])[0]
        if ip[0] >> 4 != 4 or ip[0] & 15 < 5 or total < (ip[0] & 15) * 4:
            return "BAD_IP", None
        if total > len(ip):
            return "TRUNCATED", None
        inner = ip[:total]
        if self.transport and (ip[0] != 0x45 or checksum(ip[:20])):
            return "BAD_IP", None
        if self.transport and struct.unpack(">H", ip[6:8])[0] & 0x3FFF:
            return "FRAGMENT", None
        padded = max(total, self.tfc)
        pad = -(padded + 2) % 4
        count = self.stats["out"]
        if self.hard_packets and count[0] + 1 > self.hard_packets:
            return "HARD_LIMIT", None
        if not self.esn and self.oseq + 1 >= 1 << 32:
            return "SEQ_OVERFLOW", None
        self.oseq += 1
        if self.transport:
            pad = -(total - 20 + 2) % 4
            count[0] += 1
            count[1] += total
            plain = inner[20:] + bytes(range(1, pad + 1)) + bytes([pad, inner[9]])
            return "OK", own(inner, 50, self.seal(self.oseq, plain))
        tos = (0 if self.no_dscp else inner[1] & 0xFC) | (0 if self.noecn else inner[1] & 3)
        df = 0 if self.nopmtu else struct.unpack(">H", inner[6:8])[0] & 0x4000
        ident = 0
        if not df:
            ident = self.oseq & 0xFFFF
        plain = inner + bytes(padded - total) + bytes(range(1, pad + 1)) + bytes([pad, 4])
        count[0] += 1
        count[1] += total
        return "OK", self.wrap(self.seal(self.oseq, plain), tos, df, ident)

    # ---- inbound
    def full_sequence(self, low):
        if not self.esn:
            return low
        tl, th, w = self.top & 0xFFFFFFFF, self.top >> 32, self.window
        bottom = (tl - w + 1) % (1 << 32)
        if tl >= w - 1:
            high = th if low >= bottom else th + 1
        else:
            high = th - 1 if low >= bottom else th
        return high * (1 << 32) + low  # negative left of the very first window

    def replay(self, seq):
        if seq <= 0:
            return "REPLAY_OLD"
        if self.window and seq <= self.top - self.window:
            return "REPLAY_OLD"
        if self.window and seq in self.seen:
            return "REPLAY_SEEN"
        return "OK"

    def decapsulate(self, esp, ip):
        outer_tos = ip[1]
        if self.transport and ip[0] != 0x45:
            return "BAD_IP", None
        if len(esp) < 8 + 8 + 4 + 16 or len(esp) % 4:
            return "TRUNCATED", None
        seq = self.full_sequence(struct.unpack(">I", esp[4:8])[0])
        verdict = self.replay(seq)
        if verdict != "OK":
            return verdict, None
        try:
            plain = self.aead.decrypt(self.salt + esp[8:16], esp[16:], self.aad(seq))
        except InvalidTag:
            return "ICV_FAIL", None
        self.seen.add(seq)
        self.top = max(self.top, seq)
        verdict, inner = self.check_plain(plain, self.transport)
        count = self.stats["in"]
        if self.hard_packets and count[0] + 1 > self.hard_packets:
            return "HARD_LIMIT", None
        if verdict == "OK" and self.transport:
            inner = own(ip, plain[-1], inner)
        elif verdict == "OK":
            verdict, inner = self.set_tos(inner, outer_tos)
        if verdict == "OK":
            count[0] += 1
            count[1] += len(inner)
        return verdict, inner

    @staticmethod
    def check_plain(plain, transport):
        pad, following = plain[-2], plain[-1]
        if following == 59:
            return "DUMMY", None
        if pad > len(plain) - 2 or plain[len(plain) - 2 - pad:-2] != bytes(range(1, pad + 1)):
            return "BAD_PAD", None
        if transport:
            return "OK", plain[:len(plain) - 2 - pad]
        if following != 4:
            return "BAD_NEXT_HEADER", None
        inner = plain[:len(plain) - 2 - pad]
        if len(inner) < 20:
            return "TRUNCATED", None
        total = struct.unpack(">H", inner[2:4])[0]
        if inner[0] >> 4 != 4 or inner[0] & 15 < 5 or total < (inner[0] & 15) * 4:
            return "BAD_IP", None
        return ("TRUNCATED", None) if total > len(inner) else ("OK", inner[:total])

    def set_tos(self, inner, outer_tos):
        ecn, out = inner[1] & 3, outer_tos & 3
        if not self.noecn:
            if out == 3 and ecn == 0:
                return "ECN_CE", None
            if out == 3:
                ecn = 3
            elif out == 1 and ecn == 2:
                ecn = 1
        dscp = (outer_tos if self.decap_dscp else inner[1]) & 0xFC
        header = (inner[0] & 15) * 4
        head = inner[:1] + bytes([dscp | ecn]) + inner[2:10] + b"\0\0" + inner[12:header]
        return "OK", head[:10] + struct.pack(">H", checksum(head)) + head[12:] + inner[header:]


class Model:
    """Which state takes a packet, and what comes out."""

    def __init__(self, states, rnd):
        self.states = states
        self.check_in = rnd.random() < 0.5
        self.ports = {p for s in states if s.udp for p in s.udp}

    def sad(self):
        lines = ["# states"] + [s.line() for s in self.states] + ["", "# policies"]
        lines.append("xfrm policy add src 0.0.0.0/0 dst 10.99.0.0/16 dir out action block priority 5")
        lines.append("xfrm policy add src 0.0.0.0/0 dst 10.1.5.0/24 proto tcp dport 22 dir out priority 7 # in the clear")
        for s in self.states:
            if s.transport:
                for way in ("out", "in") if self.check_in else ("out",):
                    lines.append("xfrm policy add src %s dst %s dir %s priority 10 tmpl proto esp reqid %d mode transport" % (
                        ipaddress.ip_address(s.src), ipaddress.ip_address(s.dst), way, s.reqid))
                continue
            ends = "src %s dst %s" % (ipaddress.ip_address(s.src), ipaddress.ip_address(s.dst))
            lines.append("xfrm policy add src 10.0.0.0/8 dst %s dir out priority 10 tmpl %s proto esp mode tunnel reqid %d"
                         % (s.subnet(), ends, s.reqid))
            if self.check_in:
                lines.append("xfrm policy add src %s dst 10.0.0.0/9 dir in tmpl %s proto esp reqid %d mode tunnel"
                             % (s.subnet(), ends, s.reqid))
        return "\n".join(lines) + "\n"

    def find_esp(self, ip):
        """(action, state, esp octets) of ESP and of IKE on the encapsulation ports; None otherwise."""
        header, total, frag = (ip[0] & 15) * 4, *struct.unpack(">2xH2xH", ip[:8])
        body = ip[header:min(total, len(ip))]
        if frag & 0x1FFF:
            return None
        if ip[9] == 17 and len(body) >= 8:
            if struct.unpack(">H", body[2:4])[0] not in self.ports:
                return None
            body = body[8:]
            if body == b"\xff" or (len(body) >= 4 and body[:4] == b"\0\0\0\0"):
                return ("pass", None)
        elif ip[9] != 50:
            return None
        for s in self.states:
            if len(body) >= 4 and body[:4] == struct.pack(">I", s.spi) and ip[16:20] == s.dst:
                return ("esp", s)
        return None

    @staticmethod
    def outer_verdict(ip, s):
        header, total, frag = (ip[0] & 15) * 4, *struct.unpack(">2xH2xH", ip[:8])
        if total > len(ip):
            return "TRUNCATED", None
        if checksum(ip[:header]):
            return "BAD_IP", None
        if frag & 0x3FFF:
            return "FRAGMENT", None
        body = ip[header:total]
        udp = ip[9] == 17
        if udp:
            length = struct.unpack(">H", body[4:6])[0]
            if length < 8 or length > len(body):
                return "TRUNCATED", None
            dport, body = struct.unpack(">H", body[2:4])[0], body[8:length]
            if len(body) < 8 or body[:4] == b"\0\0\0\0":
                return "NOT_ESP", None
        if len(body) < 8:
            return "TRUNCATED", None
        if udp and s.transport:
            return "SA_MISMATCH", None
        if udp and dport != (s.udp[1] if s.udp else 4500):  # RFC 7296 section 2.23: plain or in UDP at any time
            return "SA_MISMATCH", None
        return "OK", body

    def process(self, ip):
        """(kind, reason, packet): kind is encrypted, decrypted, bypassed or dropped."""
        if ip[0] >> 4 == 6:
            return "bypassed", None, ip
        if len(ip) < 20:
            return "dropped", "TRUNCATED", None
        found = self.find_esp(ip)
        if found and found[0] == "pass":
            return "bypassed", None, ip
        if found:
            return self.inbound(found[1], ip)
        return self.outbound(ip)

    def inbound(self, s, ip):
        verdict, esp = self.outer_verdict(ip, s)
        known = verdict in ("OK", "SA_MISMATCH")
        if verdict == "OK":
            verdict, inner = s.decapsulate(esp, ip)
        if verdict != "OK":
            s.stats["in"][2] += known
            return "dropped", verdict, None
        if s.transport:
            if self.check_in and inner[12:16] != s.src:
                return "dropped", "POLICY", None
            return "decrypted", None, inner
        net = ipaddress.ip_network(s.subnet())
        if self.check_in and not (ipaddress.ip_address(inner[12:16]) in net and inner[16] == 10 and inner[17] < 128):
            return "dropped", "POLICY", None
        return "decrypted", None, inner

    def outbound(self, ip):
        dst = ipaddress.ip_address(ip[16:20])
        if dst in ipaddress.ip_network("10.99.0.0/16"):
            return "dropped", "POLICY", None
        header = (ip[0] & 15) * 4
        if dst in ipaddress.ip_network("10.1.5.0/24") and ip[9] == 6:
            if not struct.unpack(">H", ip[6:8])[0] & 0x1FFF and ip[header + 2:header + 4] == b"\0\x16":
                return "bypassed", None, ip
        for s in self.states:
            takes = (ip[12:20] == s.src + s.dst if s.transport
                     else dst in ipaddress.ip_network(s.subnet()) and ip[12] == 10)
            if takes:
                verdict, outer = s.encapsulate(ip)
                if verdict == "OK":
                    return "encrypted", None, outer
                s.stats["out"][2] += 1
                return "dropped", verdict, None
        return "bypassed", None, ip


class Traffic:
    """Random packets, most of them sound."""

    def __init__(self, states, rnd):
        self.states, self.rnd, self.sent = states, rnd, []

    def inner(self, src=None, dst=None, **header):
        rnd = self.rnd
        size = rnd.choice([0, 1, 8, 12, 13, 14, 26, 44, 236, rnd.randrange(1, 1480), 1400, 1480])
        header.setdefault("tos", rnd.choice([0, 0, rnd.randrange(256)]))
        header.setdefault("frag", rnd.choice([0, 0x4000]))
        return ip4(src or addr("10.200.0.%d" % rnd.randrange(256)), dst or rnd.choice(self.states).dst,
                   rnd.choice([1, 6, 17, 200]), rnd.randbytes(size), ident=rnd.randrange(65536), **header)

    def out(self):
        s = self.rnd.choice(self.states)
        if s.transport:
            return self.out_transport(s)
        packet = self.inner(dst=addr("10.%d.%d.1" % (s.index + 1, self.rnd.randrange(8))))
        if self.rnd.random() < 0.03:
            packet = packet[:-1]  # the IP length then promises more
        if self.rnd.random() < 0.05:
            packet += bytes(self.rnd.randrange(1, 40))  # link padding
        return packet

    def out_transport(self, s):
        rnd = self.rnd
        odd = rnd.random()
        more = {"options": b"\1" * (4 * rnd.randrange(1, 11))} if odd < 0.03 else {}
        if 0.03 < odd < 0.06:
            more["frag"] = rnd.choice([0x2000, 1, 0x1FFF, 0x6000])
        elif rnd.random() < 0.1:
            more["frag"] = rnd.choice([0x8000, 0xC000])
        packet = self.inner(s.src, s.dst, ttl=rnd.randrange(1, 256), **more)
        if packet[9] == 17 and len(packet) >= 32:  # towards no port of encapsulation
            packet = packet[:22] + b"\0\7" + packet[24:]
        if 0.06 < odd < 0.09:
            at = rnd.choice([1, 4, 8, 10, 11])
            packet = packet[:at] + bytes([packet[at] ^ 1 << rnd.randrange(8)]) + packet[at + 1:]
        if 0.09 < odd < 0.11:
            packet = packet[:-1]
        if 0.11 < odd < 0.15:
            packet += bytes(rnd.randrange(1, 40))
        return packet

    def transport(self, s):
        """A packet of the far side's in transport mode."""
        rnd = self.rnd
        seq = max(self.sequence(s), 0)
        if not s.esn and seq >= 1 << 32:
            seq &= 0xFFFFFFFF
        packet = self.inner(rnd.choice([None, s.src, s.src, s.src]), s.dst, ttl=rnd.randrange(1, 256))
        payload, proto, kind = packet[20:], packet[9], rnd.random()
        pad = -(len(payload) + 2) % 4 + rnd.choice([0] * 9 + [4, 8, 200, 248])
        trailer = bytearray(bytes(range(1, pad + 1)) + bytes([pad, proto]))
        if kind < 0.03 and pad:
            trailer[rnd.randrange(pad)] ^= 1
        if 0.03 < kind < 0.05:
            trailer[-1] = rnd.choice([59, 59, 41, 4])
        if 0.05 < kind < 0.06:
            trailer[-2] = 255
        esp = s.seal(seq, payload + bytes(trailer), rnd.randbytes(8) if rnd.random() < 0.3 else None)
        if 0.06 < kind < 0.08:
            return ip4(packet[12:16], packet[16:20], 50, esp, options=b"\1" * 4)
        return own(packet, 50, esp)

    def sequence(self, s):
        rnd = self.rnd
        kind = rnd.random()
        if kind < 0.12:
            return s.remote - rnd.randrange(0, 80)
        if kind < 0.16:
            return s.remote - rnd.randrange(0, 1100)
        s.remote += 1 if kind < 0.9 else rnd.choice([2, 5, 63, 64, 65, 300, 1023, 1024, 1025, 5000])
        return s.remote

    def plain(self, s):
        rnd = self.rnd
        inner = self.inner(addr("10.%d.1.1" % (s.index + 1)), addr("10.%d.3.4" % rnd.choice([0, 1, 127, 128, 3])))
        kind = rnd.random()
        if kind < 0.04:
            inner += bytes(rnd.randrange(1, 100))  # traffic flow padding
        pad = -(len(inner) + 2) % 4
        pad += rnd.choice([0] * 9 + [4, 8, 200])
        trailer = bytearray(bytes(range(1, pad + 1)) + bytes([pad, 4]))
        if 0.04 < kind < 0.06 and pad:
            trailer[rnd.randrange(pad)] ^= 1
        if 0.06 < kind < 0.08:
            trailer[-1] = rnd.choice([59, 59, 41, 6])
        if 0.08 < kind < 0.09:
            trailer[-2] = 255
        if 0.09 < kind < 0.10:
            inner = bytes([rnd.choice([0x65, 0x41])]) + inner[1:]
        if 0.10 < kind < 0.11:
            inner = inner[:2] + struct.pack(">H", len(inner) + 300) + inner[4:]
        return inner + bytes(trailer)

    def incoming(self):
        rnd = self.rnd
        if self.sent and rnd.random() < 0.06:
            return rnd.choice(self.sent[-200:])
        s = rnd.choice(self.states)
        if s.transport:
            packet = self.transport(s)
            self.sent.append(packet)
            return self.damage(packet) if packet[0] == 0x45 else packet
        seq = max(self.sequence(s), 0)
        if not s.esn and seq >= 1 << 32:
            seq &= 0xFFFFFFFF
        iv = rnd.randbytes(8) if rnd.random() < 0.3 else None
        esp = s.seal(seq, self.plain(s), iv)
        packet = s.wrap(esp, rnd.choice([0, 0, 1, 2, 3, rnd.randrange(256)]), rnd.choice([0, 0x4000]), rnd.randrange(65536),
                        sport=rnd.choice([None, 1024]), src=rnd.choice([None, None, addr("203.0.113.9")]))
        self.sent.append(packet)
        return self.damage(packet)

    def damage(self, packet):
        rnd = self.rnd
        kind = rnd.random()
        if kind < 0.04:  # anywhere behind the SPI
            at = rnd.randrange(32 if packet[9] == 17 else 24, len(packet))
            packet = packet[:at] + bytes([packet[at] ^ 1 << rnd.randrange(8)]) + packet[at + 1:]
        elif kind < 0.06:
            packet = packet[:-rnd.randrange(1, 9)]
        elif kind < 0.07:  # a sound IP header around ESP of any length
            cut = rnd.randrange(32 if packet[9] == 17 else 24, len(packet) + 1)
            packet = ip4(packet[12:16], packet[16:20], packet[9], packet[20:cut])
        elif kind < 0.08:
            packet = packet[:10] + bytes([packet[10] ^ 0x40]) + packet[11:]
        elif kind < 0.09:
            packet = ip4(packet[12:16], packet[16:20], packet[9], packet[20:], frag=0x2000)
        elif kind < 0.10 and packet[9] == 17:
            packet = packet[:25] + bytes([packet[25] ^ 4]) + packet[26:]  # the UDP length
        elif kind < 0.12:  # the other encapsulation
            esp = packet[28:] if packet[9] == 17 else struct.pack(">HHHH", 4500, 4500, len(packet) - 12, 0) + packet[20:]
            packet = ip4(packet[12:16], packet[16:20], 67 - packet[9], esp)
        elif kind < 0.15:
            packet += bytes(rnd.randrange(1, 30))
        return packet

    def other(self):
        rnd = self.rnd
        udp = rnd.choice([b"\xff", b"\0\0\0\0" + rnd.randbytes(60), rnd.randbytes(40)])
        return rnd.choice([
            self.inner(addr("172.16.0.1"), addr("172.16.0.2")),
            self.inner(addr("10.1.1.1"), addr("10.99.0.1")),
            ip4(addr("10.1.1.1"), addr("10.1.5.6"), 6, struct.pack(">HH", 999, rnd.choice([22, 23])) + bytes(16)),
            ip4(rnd.choice(self.states).src, rnd.choice(self.states).dst, 17,
                struct.pack(">HHHH", 4500, rnd.choice([4500, 45000, 500]), 8 + len(udp), 0) + udp),
            b"\x60" + bytes(59),
            b"\x45" + bytes(rnd.randrange(1, 19)),
            ip4(addr("198.51.100.200"), addr("198.51.100.201"), 50, rnd.randbytes(60)),
        ])


def spoil(rnd, data, at):
    """Overwrites octets of a frame whose IP packet starts at `at`, and mostly mends the IP checksum."""
    if rnd.random() < 0.3 or len(data) <= at:
        return data
    data = bytearray(data)
    for _ in range(rnd.choice([1, 1, 1, 3])):
        k = rnd.randrange(at, len(data)) if rnd.random() < 0.3 else rnd.randrange(at, min(len(data), at + 60))
        data[k] = rnd.choice([0, 0xFF, data[k] ^ 1 << rnd.randrange(8), rnd.randrange(256)])
    if rnd.random() < 0.1:
        del data[rnd.randrange(at, len(data)) + 1:]
    header = at + (data[at] & 15) * 4
    if rnd.random() < 0.8 and at + 20 <= header <= len(data):
        data[at + 10:at + 12] = b"\0\0"
        data[at + 10:at + 12] = struct.pack(">H", checksum(data[at:header]))
    return bytes(data)


class Pcap:
    def __init__(self, rnd):
        self.order = rnd.choice("<>")
        self.magic = rnd.choice([0xA1B2C3D4, 0xA1B23C4D])
        self.link = rnd.choice([1, 1, 101, 12, 228])
        self.records, self.time, self.rnd = [], [1700000000, 0], rnd

    def stamp(self):
        self.time[0] += self.rnd.choice([0, 0, 1])
        self.time[1] = self.rnd.randrange(10 ** 6)
        return tuple(self.time)

    def header(self, packet):
        """A link header for an IP packet."""
        if self.link != 1:
            return b""
        tags = self.rnd.choice([b"", b"", b"\x81\x00\x20\x05", b"\x88\xa8\x00\x03\x81\x00\x00\x04"])
        return self.rnd.randbytes(12) + tags + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00")

    def bytes(self, records):
        out = struct.pack(self.order + "IHHiIII", self.magic, 2, 4, 0, 0, 262144, self.link)
        for (sec, frac), data, wire in records:
            out += struct.pack(self.order + "IIII", sec, frac, len(data), wire) + data
        return out


def main():
    folder, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rnd = random.Random(seed)
    states = [State(rnd, i) for i in range(rnd.choice([1, 3, 8]))]
    model, traffic, pcap = Model(states, rnd), Traffic(states, rnd), Pcap(rnd)
    sad = model.sad()
    packets = {"in": count, "out": 0, "encrypted": 0, "decrypted": 0, "bypassed": 0, "dropped": 0}
    drops, given, wanted = {}, [], []
    for _ in range(count):
        kind = rnd.random()
        ip = traffic.out() if kind < 0.45 else traffic.incoming() if kind < 0.9 else traffic.other()
        if pcap.link == 228 and ip[0] >> 4 == 6:
            ip = traffic.out()
        stamp, link = pcap.stamp(), pcap.header(ip)
        wire = len(link) + len(ip)
        if rnd.random() < 0.01:  # cut by the snap length
            given.append((stamp, link + ip, wire + 10))
            result = ("dropped", "TRUNCATED", None)
        elif pcap.link == 1 and rnd.random() < 0.01:
            arp = rnd.randbytes(12) + b"\x08\x06" + rnd.randbytes(28)
            given.append((stamp, arp, len(arp)))
            result, link = ("bypassed", None, arp), b""
        else:
            given.append((stamp, link + ip, wire))
            result = model.process(ip)
        packets[result[0]] += 1
        if result[0] == "dropped":
            drops[result[1]] = drops.get(result[1], 0) + 1
        else:
            packets["out"] += 1
            wanted.append((stamp, link + result[2], len(link) + len(result[2])))
    sas = [{"spi": s.spi, "dst": str(ipaddress.ip_address(s.dst)), "use": use, "packets": s.stats[use][0],
            "bytes": s.stats[use][1], "last_seq": s.oseq if use == "out" else s.top}
           for s in states for use in ("out", "in")]
    if "damage" in sys.argv[4:]:
        at = {1: 14}.get(pcap.link, 0)
        given = [(stamp, data, len(data)) for stamp, data in ((g[0], spoil(rnd, g[1], at)) for g in given)]
    for name, data in (("in.pcap", pcap.bytes(given)), ("expect.pcap", pcap.bytes(wanted))):
        with open(folder + "/" + name, "wb") as f:
            f.write(data)
    with open(folder + "/sad", "w") as f:
        f.write(sad)
    with open(folder + "/expect.json", "w") as f:
        json.dump({"packets": packets, "drops": drops, "sas": sas}, f)


main()
