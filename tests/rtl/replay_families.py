#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""IPv6 and transport mode through `espalier-sim replay --engine soft --ipv6`, judged by scapy's own IPsec.

usage: replay_families.py make DIR      writes DIR/{sad,in.pcap}
       replay_families.py check DIR     reads DIR/out.pcap; exit 0 where every packet is right

Every mix of IPv4 and IPv6 outside and inside in tunnel mode, and both families in transport mode, with AES-GCM and
ChaCha20-Poly1305; each both ways: packets to protect, which scapy must be able to open (it checks the ICV), and packets
that scapy sealed.
"""
import struct
import sys

from scapy.all import ESP, ICMP, IP, TCP, UDP, ICMPv6EchoRequest, IPv6, Raw, SecurityAssociation, rdpcap

ENDS = {4: ("192.0.2.1", "198.51.100.1"), 6: ("2001:db8:1::1", "2001:db8:2::1")}
NETS = {4: ("10.%d.0.0/16", "10.%d.0.5", "10.%d.0.9"), 6: ("2001:db8:%d::/48", "2001:db8:%d::5", "2001:db8:%d::9")}
# outer, inner (0: transport), ChaCha20-Poly1305
MIXES = [(4, 4, False), (4, 6, False), (6, 4, True), (6, 6, False), (4, 0, True), (6, 0, False)]


def ip(family, src, dst, **more):
    return IP(src=src, dst=dst, id=7, **more) if family == 4 else IPv6(src=src, dst=dst, **more)


class Mix:
    def __init__(self, number, outer, inner, chacha):
        self.n, self.outer, self.inner, self.chacha = number, outer, inner, chacha
        self.key = bytes(range(number, number + 36))
        self.spi = {"out": 0x1000 + number, "in": 0x2000 + number}
        ends = ENDS[outer] if inner else (ENDS[outer][0][:-1] + str(2 + number), ENDS[outer][1][:-1] + str(2 + number))
        self.ends = {"out": ends, "in": ends[::-1]}
        self.hosts = (NETS[inner][1] % (100 + number), NETS[inner][2] % (200 + number)) if inner else ends

    def far(self, way):
        src, dst = self.ends[way]
        header = ip(self.outer, src, dst) if self.inner else None
        return SecurityAssociation(ESP, spi=self.spi[way], crypt_algo="CHACHA20-POLY1305" if self.chacha else "AES-GCM",
                                   crypt_key=self.key, tunnel_header=header)

    def sad(self):
        name = "rfc7539esp(chacha20,poly1305)" if self.chacha else "rfc4106(gcm(aes))"
        mode = "tunnel" if self.inner else "transport"
        flag = " flag af-unspec" if self.inner and self.inner != self.outer else ""
        lines = ["xfrm state add src %s dst %s proto esp spi %d reqid %d mode %s replay-window 32 aead '%s' 0x%s 128%s" % (
            *self.ends[way], self.spi[way], self.n + 1, mode, name, self.key.hex(), flag) for way in ("out", "in")]
        if self.inner:
            net = NETS[self.inner][0]
            lines.append("xfrm policy add dir out src %s dst %s tmpl src %s dst %s proto esp reqid %d mode tunnel" % (
                net % (100 + self.n), net % (200 + self.n), *self.ends["out"], self.n + 1))
            lines.append("xfrm policy add dir in src %s dst %s tmpl src %s dst %s proto esp reqid %d mode tunnel" % (
                net % (200 + self.n), net % (100 + self.n), *self.ends["in"], self.n + 1))
        else:
            lines.append("xfrm policy add dir out src %s dst %s tmpl proto esp reqid %d mode transport" % (
                *self.ends["out"], self.n + 1))
            lines.append("xfrm policy add dir in src %s dst %s tmpl proto esp reqid %d mode transport" % (
                *self.ends["in"], self.n + 1))
        return "\n".join(lines)

    def plain(self, way):
        family = self.inner or self.outer
        src, dst = self.hosts if way == "out" else self.hosts[::-1]
        ping = ICMP(id=1, seq=2) if family == 4 else ICMPv6EchoRequest(id=1, seq=2)
        return [type(p)(bytes(p)) for p in (
            ip(family, src, dst) / ping / Raw(b"ping" * 9),
            ip(family, src, dst) / UDP(sport=7, dport=9) / Raw(bytes(range(101))),
            ip(family, src, dst) / TCP(sport=1000, dport=80, flags="S"))]

    def sealed(self):
        sa = self.far("in")
        return [sa.encrypt(p, seq_num=i + 1, iv=bytes([self.n] * 8)) for i, p in enumerate(self.plain("in"))]

    def open(self, packet):
        """The inner packet of what replay protected."""
        return bytes(self.far("out").decrypt(packet))


def mixes():
    return [Mix(i, *m) for i, m in enumerate(MIXES)]


def make(folder):
    with open(folder + "/sad", "w") as f:
        f.write("\n".join(m.sad() for m in mixes()) + "\n")
    packets = [p for m in mixes() for p in m.plain("out") + m.sealed()]
    packets.append(ip(6, "2001:db8:9::1", "2001:db8:9::2") / UDP() / Raw(b"not ours"))
    with open(folder + "/in.pcap", "wb") as f:  # classic pcap of raw IP, either version
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for i, p in enumerate(bytes(p) for p in packets):
            f.write(struct.pack("<IIII", 1700000000, i, len(p), len(p)) + p)


def again(packet):
    raw = bytes(packet)
    return IP(raw) if raw[0] >> 4 == 4 else IPv6(raw)


def check(folder):
    out = [again(p) for p in rdpcap(folder + "/out.pcap")]
    assert len(out) == 6 * len(MIXES) + 1, "%d packets came out" % len(out)
    for m in mixes():
        got, out = out[:6], out[6:]
        for i, (p, want) in enumerate(zip(got, m.plain("out"))):
            esp = p[ESP]
            assert p.version == m.outer and (esp.spi, esp.seq) == (m.spi["out"], i + 1), "mix %d: %r" % (m.n, p)
            assert m.open(p) == bytes(want), "mix %d, packet %d: another packet inside" % (m.n, i)
        for i, (p, want) in enumerate(zip(got[3:], m.plain("in"))):
            assert bytes(p) == bytes(want), "mix %d, sealed packet %d: %r, expected %r" % (m.n, i, p, want)
    print("%d mixes right" % len(MIXES))


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](sys.argv[2])
