#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Judges what `espalier-sim replay` made of the shipped example, with scapy's own IPsec.

usage: replay_example_check.py OUT.pcap     exit 0 where it is right; says what is wrong otherwise

Every packet that should be protected must open with scapy (which checks the ICV) to the octets that went in, in order;
every packet that should be opened must be the one that the far site sealed; what passes in the clear is unchanged.
"""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../sim/workbench/examples"))
import make_example as example  # noqa: E402
from scapy.all import ESP, IP, Ether, rdpcap  # noqa: E402


def opened(sas, frame):
    """The inner packet's octets."""
    ip = frame[IP]
    for name in ("to B", "to C"):
        if ESP in ip and ip[ESP].spi == sas[name].spi:
            plain = IP(src=ip.src, dst=ip.dst, proto=50) / ip[ESP]
            return bytes(sas[name].far.decrypt(IP(bytes(plain))))
    return None


def main():
    sas = example.states()
    given = [Ether(bytes(f)) for f in example.capture(example.states())]
    out = list(rdpcap(sys.argv[1]))
    from_b, from_c = example.replies()
    sealed = [f for f in given if IP in f and f[IP].src.startswith("10.1.") and f[IP].dst.split(".")[1] in "23"
              and not (f[IP].proto == 6 and f.dport == 23)]
    got_sealed = [(f, opened(sas, f)) for f in out if IP in f and f[IP].src == example.A]
    got_opened = [bytes(f[IP]) for f in out if IP in f and f[IP].src.split(".")[0] == "10" and f[IP].src.split(".")[1] in "23"]
    wanted_opened = [bytes(p) for p in from_b[:5] + from_c]
    clear = [bytes(f) for f in given[-9:-5]]
    assert [inner for _, inner in got_sealed] == [bytes(f[IP]) for f in sealed], "other inner packets come out of ESP"
    assert len(sealed) == 12, "the example has %d packets to protect" % len(sealed)
    assert got_opened == wanted_opened, "other packets than the far sites sent"
    assert [bytes(f) for f in out[-4:]] == clear, "what passes in the clear changed"
    assert all(bytes(a[0])[:12] == bytes(b)[:12] for a, b in zip(got_sealed, sealed)), "the MAC addresses changed"
    print("12 opened by scapy, 9 as they were sealed, 4 unchanged")


if __name__ == "__main__":
    main()
