#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seals and opens ESP packets for test_soft_algs: a line a packet on stdin, a line each on stdout.

Line: seal|open, cipher, ICV octets of the cipher, key, salt, integrity algorithm, its key, ESN (0, 1), sequence number,
SPI, packet. scapy's IPsec layer does what it can; what scapy 2.5 has not (AES-GMAC, short ICVs of AES-GCM, ESN beside
HMAC) is put together here from the cryptography package and hmac.
"""
import hashlib
import hmac
import os
import struct
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scapy.config import conf
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation

conf.verb = 0
SCAPY_CRYPT = {"gcm": "AES-GCM", "ccm": "AES-CCM", "chacha": "CHACHA20-POLY1305", "cbc": "AES-CBC", "ctr": "AES-CTR",
               "null": "NULL"}
SCAPY_AUTH = {"none": "NULL", "sha1": "HMAC-SHA1-96", "sha256": "SHA2-256-128", "sha384": "SHA2-384-192",
              "sha512": "SHA2-512-256"}
CUT = {"sha1": 12, "sha256": 16, "sha384": 24, "sha512": 32}
A4, B4 = "192.0.2.1", "198.51.100.2"


class Line:
    def __init__(self, text):
        f = text.split()
        self.op, self.cipher, self.icv = f[0], f[1], int(f[2])
        self.key, self.salt = (bytes.fromhex(x) if x != "-" else b"" for x in f[3:5])
        self.integ, self.ikey = f[5], bytes.fromhex(f[6]) if f[6] != "-" else b""
        self.esn, self.seq, self.spi = f[7] == "1", int(f[8]), int(f[9])
        self.packet = bytes.fromhex(f[10])

    def scapy(self):
        by_hand = self.cipher == "gmac" or (self.cipher == "gcm" and self.icv != 16) or (self.esn and self.ikey)
        if by_hand:
            return None
        return SecurityAssociation(ESP, spi=self.spi, crypt_algo=SCAPY_CRYPT[self.cipher], crypt_key=self.key + self.salt,
                                   crypt_icv_size=self.icv or None, auth_algo=SCAPY_AUTH[self.integ],
                                   auth_key=self.ikey or None, tunnel_header=IP(src=A4, dst=B4, ttl=64),
                                   esn_en=self.esn, esn=self.seq >> 32)

    def high(self):
        return struct.pack("!L", self.seq >> 32) if self.esn else b""

    def aad(self):
        return struct.pack("!L", self.spi) + self.high() + struct.pack("!L", self.seq & 0xFFFFFFFF)

    def hmac(self, octets):
        return hmac.new(self.ikey, octets + self.high(), getattr(hashlib, self.integ)).digest()[:CUT[self.integ]]

    def aes(self, iv):
        mode = modes.CBC(iv) if self.cipher == "cbc" else modes.CTR(self.salt + iv + b"\0\0\0\1")
        return Cipher(algorithms.AES(self.key), mode)

    def gcm(self, iv, tag=None):
        return Cipher(algorithms.AES(self.key), modes.GCM(self.salt + iv, tag, self.icv))


def outer(esp):
    return bytes(IP(src=A4, dst=B4, ttl=64, proto=50) / esp)


def seal_by_hand(line):
    step = 16 if line.cipher == "cbc" else 4
    pad = -(len(line.packet) + 2) % step
    plain = line.packet + bytes(range(1, pad + 1)) + bytes([pad, 41 if line.packet[0] >> 4 == 6 else 4])
    iv = b"" if line.cipher == "null" else os.urandom(16 if line.cipher == "cbc" else 8)
    head = struct.pack("!LL", line.spi, line.seq & 0xFFFFFFFF)
    if line.cipher in ("gcm", "gmac"):
        e = line.gcm(iv).encryptor()
        e.authenticate_additional_data(line.aad() + (iv + plain if line.cipher == "gmac" else b""))
        text = plain if line.cipher == "gmac" else e.update(plain)
        e.finalize()
        return outer(head + iv + text + e.tag[:line.icv])
    text = plain
    if line.cipher != "null":
        e = line.aes(iv).encryptor()
        text = e.update(plain) + e.finalize()
    return outer(head + iv + text + line.hmac(head + iv + text))


def open_by_hand(line):
    body = line.packet[20:]
    n = {"cbc": 16, "null": 0}.get(line.cipher, 8)
    icv = line.icv or CUT[line.integ]
    iv, text, tag = body[8:8 + n], body[8 + n:-icv], body[-icv:]
    if line.cipher in ("gcm", "gmac"):
        d = line.gcm(iv, tag).decryptor()
        d.authenticate_additional_data(line.aad() + (iv + text if line.cipher == "gmac" else b""))
        plain = text if line.cipher == "gmac" else d.update(text)
        d.finalize()
    else:
        if line.hmac(body[:-icv]) != tag:
            raise ValueError("the ICV is wrong")
        plain = text
        if line.cipher != "null":
            d = line.aes(iv).decryptor()
            plain = d.update(text) + d.finalize()
    pad = plain[-2]
    if plain[len(plain) - 2 - pad:-2] != bytes(range(1, pad + 1)):
        raise ValueError("the padding is wrong")
    return plain[:len(plain) - 2 - pad]


def answer(line):
    sa = line.scapy()
    if line.op == "open":
        return bytes(sa.decrypt(IP(line.packet))) if sa else open_by_hand(line)
    inner = (IPv6 if line.packet[0] >> 4 == 6 else IP)(line.packet)
    return bytes(sa.encrypt(inner, seq_num=line.seq & 0xFFFFFFFF)) if sa else seal_by_hand(line)


for request in sys.stdin:
    try:
        print(answer(Line(request)).hex())
    except Exception as fault:  # the test shows it
        print("fault: " + type(fault).__name__ + ": " + str(fault).replace("\n", " "))
