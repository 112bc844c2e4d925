#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes example.sad and example.pcap beside itself (or in the folder that is named); needs scapy.

Site A (gateway 192.0.2.1, network 10.1.0.0/16) speaks with site B (198.51.100.1, 10.2.0.0/16; plain ESP) and with site C
(203.0.113.7, 10.3.0.0/16; behind a NAT, so ESP in UDP). The capture is what A's gateway sees on both sides: packets of
its own network to protect, ESP from B and C to open, and some of each that must be dropped. scapy makes the ESP.
"""
import os
import sys

from scapy.all import ARP, ESP, ICMP, IP, TCP, UDP, DNS, DNSQR, Dot1Q, Ether, Raw, SecurityAssociation, wrpcap

HERE = os.path.dirname(os.path.abspath(__file__))
A, B, C = "192.0.2.1", "198.51.100.1", "203.0.113.7"
START = 1700000000
INFORMATIONAL = bytes(range(1, 17)) + bytes.fromhex("00202508000000010000001c")  # an IKEv2 header and nothing in it


def octets(first, count):
    return bytes((first + i) & 255 for i in range(count))


class State:
    """One SA: its line in the SA file, and scapy's view of it for packets that come in."""

    def __init__(self, src, dst, spi, reqid, key, salt, udp=False):
        self.src, self.dst, self.spi, self.reqid, self.udp, self.seq = src, dst, spi, reqid, udp, 0
        self.key = key + salt
        self.far = SecurityAssociation(ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=self.key,
                                       tunnel_header=IP(src=src, dst=dst, ttl=61, id=0, flags="DF"))

    def line(self):
        encap = " \\\n    encap espinudp 4500 4500 0.0.0.0" if self.udp else ""
        return ("xfrm state add src %s dst %s proto esp spi 0x%08x reqid %d mode tunnel replay-window 64 \\\n"
                "    aead 'rfc4106(gcm(aes))' 0x%s 128%s\n" % (self.src, self.dst, self.spi, self.reqid, self.key.hex(), encap))

    def seal(self, inner):
        self.seq += 1
        packet = self.far.encrypt(inner, seq_num=self.seq, iv=self.seq.to_bytes(8, "big"))
        if not self.udp:
            return packet
        return IP(src=self.src, dst=self.dst, ttl=61, id=0, flags="DF") / UDP(sport=4500, dport=4500, chksum=0) / packet[ESP]


def states():
    return {
        "to B": State(A, B, 0xB0000001, 2, octets(0x10, 32), octets(0xB0, 4)),
        "from B": State(B, A, 0xA0000001, 2, octets(0x40, 32), octets(0xB4, 4)),
        "to C": State(A, C, 0xC0000001, 3, octets(0x70, 16), octets(0xC0, 4), udp=True),
        "from C": State(C, A, 0xA0000002, 3, octets(0x90, 16), octets(0xC4, 4), udp=True),
    }


POLICIES = """\
# No telnet leaves site A, protected or not. A lower priority wins.
xfrm policy add dir out src 10.1.0.0/16 dst 0.0.0.0/0 proto tcp dport 23 priority 1 action block

# What site A sends to B and C is protected ...
xfrm policy add dir out src 10.1.0.0/16 dst 10.2.0.0/16 priority 10 \\
    tmpl src %(A)s dst %(B)s proto esp reqid 2 mode tunnel
xfrm policy add dir out src 10.1.0.0/16 dst 10.3.0.0/16 priority 10 \\
    tmpl src %(A)s dst %(C)s proto esp reqid 3 mode tunnel
# ... a policy without a state: nothing can protect it, so it is dropped
xfrm policy add dir out src 10.1.0.0/16 dst 10.4.0.0/16 priority 10 \\
    tmpl src %(A)s dst 198.51.100.99 proto esp reqid 4 mode tunnel

# ... and from each only that site's network may come out of its tunnel.
xfrm policy add dir fwd src 10.2.0.0/16 dst 10.1.0.0/16 tmpl src %(B)s dst %(A)s proto esp reqid 2 mode tunnel
xfrm policy add dir fwd src 10.3.0.0/16 dst 10.1.0.0/16 tmpl src %(C)s dst %(A)s proto esp reqid 3 mode tunnel
"""


def sad_text(sas):
    head = ("# Made by make_example.py. An `ip -batch` file: the states and policies of site A's gateway.\n"
            "# Example keys: never use them for anything else.\n\n")
    return head + "".join(s.line() for s in sas.values()) + "\n" + POLICIES % {"A": A, "B": B, "C": C}


def outgoing():
    """Packets of site A's own network."""
    packets = []
    for i in range(6):
        packets.append(IP(src="10.1.0.5", dst="10.2.0.9", id=100 + i, ttl=63) /
                       ICMP(type=8, id=7, seq=i + 1) / Raw(octets(i, [0, 8, 56, 200, 700, 1372][i])))
    for i in range(4):
        packets.append(IP(src="10.1.0.6", dst="10.3.0.%d" % (i + 1), id=200 + i, ttl=63, flags="DF", tos=0xB8) /
                       UDP(sport=5004, dport=5004) / Raw(octets(i, 172)))
    packets.append(IP(src="10.1.0.7", dst="10.2.0.20", id=300, ttl=63, flags="DF") /
                   TCP(sport=40000, dport=443, flags="S", seq=1, window=64240))
    return packets


def replies():
    """What the far sites answer, before it is sealed."""
    from_b = [IP(src="10.2.0.9", dst="10.1.0.5", id=400 + i, ttl=62) / ICMP(type=0, id=7, seq=i + 1) / Raw(octets(i, 8 * i))
              for i in range(6)]
    from_c = [IP(src="10.3.0.%d" % (i + 1), dst="10.1.0.6", id=500 + i, ttl=62) / UDP(sport=5004, dport=5004) /
              Raw(octets(i, 172)) for i in range(4)]
    return from_b, from_c


def damaged(packet):
    raw = bytearray(bytes(packet))
    raw[-20] ^= 1
    return IP(bytes(raw))


def capture(sas):
    inside = lambda p: Ether(src="02:00:00:00:00:05", dst="02:00:00:00:00:01") / p
    outside = lambda p: Ether(src="02:00:00:00:01:01", dst="02:00:00:00:00:01") / p
    from_b, from_c = replies()
    esp_b = [sas["from B"].seal(p) for p in from_b]
    esp_c = [sas["from C"].seal(p) for p in from_c]
    stolen = sas["from C"].seal(IP(src="10.2.0.66", dst="10.1.0.5", id=666, ttl=62) / ICMP(id=6, seq=6))
    frames = [inside(p) for p in outgoing()[:6]] + [outside(p) for p in esp_b[:5]]
    frames += [inside(p) for p in outgoing()[6:]] + [outside(p) for p in esp_c]
    frames.append(Ether(src="02:00:00:00:00:08", dst="02:00:00:00:00:01") / Dot1Q(vlan=5) /
                  IP(src="10.1.0.8", dst="10.2.0.8", id=600, ttl=63) / UDP(sport=9, dport=9) / Raw(octets(0, 64)))
    # in the clear: ARP, a look-up elsewhere, IKE, a NAT keepalive
    frames.append(inside(ARP(psrc="10.1.0.5", pdst="10.1.0.1", hwsrc="02:00:00:00:00:05")))
    frames.append(inside(IP(src="10.1.0.5", dst="9.9.9.9", id=700, ttl=63) / UDP(sport=50000, dport=53) /
                         DNS(id=1, qd=DNSQR(qname="example.org"))))
    frames.append(outside(IP(src=C, dst=A, id=701) / UDP(sport=4500, dport=4500, chksum=0) /
                          Raw(bytes(4) + INFORMATIONAL)))
    frames.append(outside(IP(src=C, dst=A, id=702) / UDP(sport=4500, dport=4500, chksum=0) / Raw(b"\xff")))
    # dropped: telnet; a policy without a state; one changed on its way, one sent again, one from a network not its own
    frames.append(inside(IP(src="10.1.0.5", dst="10.2.0.9", id=800, ttl=63) / TCP(sport=40001, dport=23, flags="S")))
    frames.append(inside(IP(src="10.1.0.5", dst="10.4.0.1", id=801, ttl=63) / ICMP(id=8, seq=1)))
    frames.append(outside(damaged(esp_b[5])))
    frames.append(outside(esp_b[2]))
    frames.append(outside(stolen))
    for i, f in enumerate(frames):
        f.time = START + i / 1000
    return frames


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE
    sas = states()
    with open(os.path.join(folder, "example.sad"), "w") as f:
        f.write(sad_text(sas))
    wrpcap(os.path.join(folder, "example.pcap"), capture(sas))


if __name__ == "__main__":
    main()
