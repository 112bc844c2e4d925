#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes the first inputs of the fuzz targets into OUT/TARGET/, in the forms that the targets read: the messages that two
# strongSwan 5.9.8 daemons exchanged (tests/vectors/ikev2; see tests/vectors/README.md), one of each message between our
# processes (ctrl/ipc/messages.h), what swanctl says of a small configuration, and certificates, CRLs and OCSP answers of the
# authority that fuzz_certs.c has (the cryptography package signs them).
# usage: seeds.py OUT
import datetime
import json
import pathlib
import re
import struct
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509 import ocsp

HERE = pathlib.Path(__file__).resolve().parent
EXCHANGES = HERE.parent / "vectors" / "ikev2"
AUTH, CREATE_CHILD, INFORMATIONAL = 35, 36, 37
GENUINE, SPI, CUT = 2, 4, 32
IDI, IDR, AUTH_PAYLOAD, NOTIFY, DELETE, CP, EAP = 35, 36, 39, 41, 42, 47, 48
REKEY_SA = 16393
SCENE = {"auth request": 0, "auth response": 1, "requests": 2, "responses": 3}


def payloads(first, octets):
    """The chain as (type, body)."""
    while first and len(octets) >= 4:
        following, _, length = struct.unpack(">BBH", octets[:4])
        if length < 4 or length > len(octets):
            return
        yield first, octets[4:length]
        first, octets = following, octets[length:]


def item(kind, flags, body=b""):
    head = struct.pack(">BB", kind, flags)
    return head if flags & GENUINE else head + struct.pack(">H", len(body)) + body


def program(chain, genuine=()):
    out = b""
    for kind, body in chain:
        names_an_spi = kind == DELETE and body[:1] == b"\3" or kind == NOTIFY and body[2:4] == struct.pack(">H", REKEY_SA)
        out += item(kind, GENUINE if kind in genuine else SPI if names_an_spi else 0, body)
    return out + b"\0"


def shortened(kinds, which, length):
    """A genuine message of these payloads, one of which ends after so many octets of its body."""
    return b"".join(item(k, GENUINE | CUT) + bytes([length]) if k == which else item(k, GENUINE) for k in kinds) + b"\0"


def asked_for(reply):
    """Configuration payloads: an address and a name server of either family, and what has no length or too much of it."""
    attribute = lambda kind, value: struct.pack(">HH", kind, len(value)) + value
    four, six = bytes([10, 9, 0, 7]), bytes([0xFD]) + bytes(14) + b"\7"
    whole = attribute(1, four) + attribute(3, four) + attribute(8, six + b"\x40") + attribute(10, six) + attribute(13, four + bytes([255, 255, 255, 0]))
    empty = b"".join(attribute(kind, b"") for kind in (1, 3, 8, 10, 13, 15, 25))
    return [bytes([2 if reply else 1, 0, 0, 0]) + body for body in (empty, whole, whole[:-3], b"")]


class Corpus:
    def __init__(self, out):
        self.out, self.count = out, 0

    def add(self, target, octets):
        folder = self.out / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"seed-{self.count:04}").write_bytes(octets)
        self.count += 1


def decrypted(c, message):
    chain = list(payloads(message["first_payload"], bytes.fromhex(message["plaintext"])))
    response, exchange = bool(message["flags"] & 0x20), message["exch"]
    code = bytes([exchange])
    if exchange == AUTH:
        scene = SCENE["auth response" if response else "auth request"]
        c.add("payloads", bytes([scene]) + code + program(chain))
        for by_certificate in (0, 4):
            c.add("payloads", bytes([scene + by_certificate]) + code + program(chain, (IDI, IDR, AUTH_PAYLOAD)))
            c.add("payloads", bytes([scene + by_certificate]) + code + program([(37, b""), (38, b"")] + chain, (IDI, IDR, 37, 38, AUTH_PAYLOAD, 33, 44, 45)))
        kinds = [k for k, _ in chain if k in (IDI, IDR, 37, AUTH_PAYLOAD, 33, 44, 45)]
        for which in kinds:
            for length in (0, 4, 5, 20, 35):
                c.add("payloads", bytes([scene]) + code + shortened(kinds, which, length))
        for configuration in asked_for(response):
            c.add("payloads", bytes([scene]) + code + program([(k, b"") for k in kinds] + [(CP, configuration)], kinds))
        for eap in (b"\1\7\0\5\1", b"\2\7\0\x09\1name", b"\3\7\0\4", b"\2\7\xff\xff\x1a\2\7\0\x3b\x31" + bytes(54)):
            c.add("payloads", bytes([scene]) + code + program([(k, b"") for k in kinds if k != AUTH_PAYLOAD] + [(EAP, eap)], kinds))
        proven = [(k, b) for k, b in chain if k in (IDI, AUTH_PAYLOAD)] + [(k, b) for k, b in chain if k not in (IDI, IDR, AUTH_PAYLOAD)]
        c.add("payloads", bytes([scene]) + code + program(proven, (IDI, IDR, AUTH_PAYLOAD, 33, 44, 45)))
    elif response:
        for what in range(6):
            c.add("payloads", bytes([SCENE["responses"], what]) + code + program(chain))
    else:
        c.add("payloads", bytes([SCENE["requests"]]) + code + program(chain))
        c.add("payloads", bytes([SCENE["requests"] | 0x80]) + code + program(chain) + code + program(chain))
    fragments(c, message, bytes.fromhex(message["plaintext"]))


def fragments(c, message, plain):
    response, exchange = bool(message["flags"] & 0x20), message["exch"]
    for parts in (1, 2, 5):
        size = (len(plain) + parts - 1) // parts or 1
        pieces = [plain[i:i + size] for i in range(0, len(plain), size)] or [b""]
        rows = [struct.pack(">BBBBBH", int(response), n + 1, len(pieces), message["first_payload"] if n == 0 else 0, exchange, len(p)) + p
                for n, p in enumerate(pieces)]
        first = bytes([1 if exchange == AUTH else 2 if response else 0])
        c.add("fragments", first + b"".join(rows))
        c.add("fragments", first + b"".join(reversed(rows)))


def fragments_that_stay(c):
    """Messages of which something is missing for long, whose parts differ in number, and more of them than there is room for."""
    row = lambda flags, number, of, size: struct.pack(">BBBBBH", flags, number, of, 41 if number == 1 else 0, 37, size) + bytes(size)
    late, wide, following = 8, 16, 2
    for first in (0, 1, 2):
        c.add("fragments", bytes([first]) + row(0, 1, 3, 40) + row(late, 3, 3, 40) * 35)
        c.add("fragments", bytes([first]) + row(1, 1, 3, 40) + row(1 | late, 3, 3, 40) * 35)
        c.add("fragments", bytes([first]) + row(0, 1, 3, 40) + row(0, 1, 4, 40) + row(0, 2, 4, 40) + row(0, 2, 3, 40) + row(0, 5, 4, 1) + row(0, 0, 2, 1))
        c.add("fragments", bytes([first]) + b"".join(row(0, n, 38, 1400) for n in range(1, 39)))
        c.add("fragments", bytes([first]) + b"".join(row(wide, n, 255, 1400) for n in range(1, 39)))
        c.add("fragments", bytes([first]) + row(following, 1, 2, 9) + row(following, 2, 2, 9) + row(0, 1, 2, 0) + row(0, 2, 2, 0))


def outer(c, message):
    octets = bytes.fromhex(message["msg"])
    for scene in range(5):
        for flags in (0, 1, 3, 16, 19):
            c.add("datagram", bytes([scene, flags]) + struct.pack(">H", len(octets)) + octets)


def resumption(c):
    """IKE_SESSION_RESUME, which those two do not speak (RFC 5723 4.3.2)."""
    payload = lambda following, body: struct.pack(">BBH", following, 0, 4 + len(body)) + body
    notify = lambda kind, data, following=0: payload(following, struct.pack(">BBH", 0, 0, kind) + data)
    nonce, nat = 40, notify(16388, bytes(20), NOTIFY) + notify(16389, bytes(20))
    chains = [(nonce, payload(NOTIFY, bytes(32)) + notify(16413, b"\1" + bytes(99), NOTIFY) + nat, 8),
              (NOTIFY, notify(16390, bytes(33), nonce) + payload(NOTIFY, bytes(16)) + notify(16413, bytes(20)), 8),
              (nonce, payload(NOTIFY, bytes(32)) + nat, 32),
              (NOTIFY, notify(16390, bytes(33)), 32),
              (NOTIFY, notify(16412, b""), 32)]
    for first, chain, flags in chains:
        for spi_r in (0, 7):
            octets = bytes(7) + b"\1" + bytes(7) + bytes([spi_r]) + bytes([first, 0x20, 38, flags]) + bytes(4) + \
                struct.pack(">I", 28 + len(chain)) + chain
            for scene in (1, 5) if flags & 32 else (0, 2, 3, 4):
                for fix in (19, 48) if flags & 32 else (0, 3):
                    c.add("datagram", bytes([scene, fix]) + struct.pack(">H", len(octets)) + octets)


# ---- what fits the ends that the targets have: aes256gcm16-prfsha256-x25519, aes256gcm16[-x25519]

SA, KE, NONCE, TSI, TSR = 33, 34, 40, 44, 45
IKE_PROPOSAL, ESP_PROPOSAL = [(1, 20, 256), (2, 5, 0), (4, 31, 0)], [(1, 20, 256), (5, 0, 0)]
GROUP, ANYWHERE = struct.pack(">HH", 31, 0), b"\1\0\0\0" + b"\7\0\0\x10\0\0\xff\xff" + bytes(4) + b"\xff" * 4


def proposal(protocol, spi, transforms):
    out = b""
    for n, (kind, number, bits) in enumerate(transforms, 1):
        attribute = struct.pack(">HH", 0x800E, bits) if bits else b""
        out += struct.pack(">BBHBBH", 3 if n < len(transforms) else 0, 0, 8 + len(attribute), kind, 0, number) + attribute
    return struct.pack(">BBHBBBB", 0, 0, 8 + len(spi) + len(out), 1, protocol, len(spi), len(transforms)) + spi + out


def notification(kind, data=b"", protocol=0, spi=b""):
    return NOTIFY, struct.pack(">BBH", protocol, len(spi), kind) + spi + data


def plain(spi_i, spi_r, exchange, flags, mid, chain):
    body = b""
    for n, (kind, octets) in enumerate(chain, 1):
        body += struct.pack(">BBH", chain[n][0] if n < len(chain) else 0, 0, 4 + len(octets)) + octets
    return spi_i + spi_r + struct.pack(">BBBBII", chain[0][0], 0x20, exchange, flags, mid, 28 + len(body)) + body


def that_fit(c):
    """What is taken: a stranger's first request and what may answer ours; rekeyings and CHILD SAs by either end; and each refusal."""
    public = lambda n: (KE, GROUP + bytes([n]) * 32)
    hashes = notification(16431, struct.pack(">HHHH", 2, 3, 4, 5))
    first = [(SA, proposal(1, b"", IKE_PROPOSAL)), public(9), (NONCE, bytes(range(32))), hashes, notification(16418), notification(16430)]
    datagram = lambda flags, octets: bytes([flags]) + struct.pack(">H", len(octets)) + octets
    begin = [datagram(0, plain(bytes([n]) * 8, bytes(8), 34, 8, 0, first)) for n in (1, 2)]
    for scene in (0, 2, 3, 4):
        c.add("datagram", bytes([scene]) + begin[0])
        c.add("datagram", bytes([scene]) + begin[0] + begin[1] + begin[0])
    answers = [first, first + [notification(16406)], [notification(17, struct.pack(">H", 31))], [notification(17, struct.pack(">H", 19))],
               [notification(16390, bytes(32))], [notification(14)], [notification(16407, b"\1\4" + bytes([10, 0, 0, 3]) + bytes(32))]]
    nat = [notification(16388, bytes(20)), notification(16389, bytes(20))]
    weak = [(SA, proposal(1, b"", [(1, 3, 0), (2, 1, 0), (3, 1, 0), (4, 2, 0)]))] + first[1:]
    other_group = [(k, struct.pack(">HH", 19, 0) + bytes(64)) if k == KE else (k, b) for k, b in first]
    for chain in (first + nat, first + [notification(16406)], weak, other_group, first[:1], first[:2], first + [notification(16390, bytes(33))],
                  first + [(43, b"vendor"), (77, b"x")], first + first[2:3], [notification(14)]):
        for scene in (0, 2, 3, 4):
            c.add("datagram", bytes([scene]) + datagram(0, plain(bytes([3]) * 8, bytes(8), 34, 8, 0, chain)))
        for flags in (32 | 16, 32 | 16 | 8):
            c.add("datagram", bytes([1]) + datagram(flags, plain(bytes(8), bytes([7] * 8), 34, 32, 0, chain)))
    for chain in answers:
        answer = datagram(32 | 16, plain(bytes(8), bytes([7] * 8), 34, 32, 0, chain))
        c.add("datagram", bytes([1]) + answer)
        c.add("datagram", bytes([1]) + answer + answer)
    child = [(SA, proposal(3, b"\1\2\3\4", ESP_PROPOSAL)), (NONCE, bytes(32)), (TSI, ANYWHERE), (TSR, ANYWHERE)]
    with_group = [(SA, proposal(3, b"\1\2\3\5", ESP_PROPOSAL + [(4, 31, 0)])), (NONCE, bytes(32)), public(9), (TSI, ANYWHERE), (TSR, ANYWHERE)]
    ike = [(SA, proposal(1, bytes([8] * 8), IKE_PROPOSAL)), (NONCE, bytes(32)), public(9)]
    rekeyed = notification(REKEY_SA, b"", 3, bytes(4))
    end, check = [(DELETE, b"\1\0\0\0")], [notification(16400)]
    wrong_group = [(k, struct.pack(">HH", 19, 0) + bytes(64)) if k == KE else (k, b) for k, b in ike]
    for chain, exchange in [(child, 36), (with_group, 36), (ike, 36), (wrong_group, 36), ([rekeyed] + child, 36), ([rekeyed] + with_group, 36), (end, 37), (check, 37)]:
        for more in (b"", bytes([36]) + program(ike), bytes([37]) + program(end), bytes([36]) + program(child)):
            c.add("payloads", bytes([SCENE["requests"], exchange]) + program(chain) + more)
    refusals = [[notification(kind, data)] for kind, data in ((14, b""), (17, struct.pack(">H", 31)), (17, struct.pack(">H", 19)), (34, b""), (35, b""), (38, b""),
                                                           (43, b""), (44, b""), (47, b""), (99, b""))]
    for what in (0, 1, 3, 4, 5):
        genuine = [SA, NONCE] + ([KE] if what in (0, 3) else []) + ([] if what == 0 else [TSI, TSR])
        c.add("payloads", bytes([SCENE["responses"], what, 0]) + program([(k, b"") for k in genuine], genuine))
        for chain in [child, with_group, ike] + refusals:
            c.add("payloads", bytes([SCENE["responses"] | 0x80, what, 0]) + program(chain))
    more = 0x40
    for what, genuine in ((0, [SA, NONCE, KE, NOTIFY]), (1, [SA, NONCE, KE, TSI, TSR, NOTIFY]), (3, [SA, NONCE, KE, TSI, TSR, NOTIFY])):
        before = bytes([SCENE["responses"] | more, what, 0]) + program([(k, b"") for k in genuine], genuine) + bytes([0])
        for last in (program([(KE, b"")], [KE]), program([public(9)]), program([notification(43)]), program([notification(44)]), program([]),
                     program([(KE, b""), notification(16441, b"x")], [KE])):
            c.add("payloads", before + last)
            c.add("payloads", before + last + bytes([1, 0]) + program([]))
    c.add("payloads", bytes([SCENE["requests"] | more, 36]) + program(with_group) + bytes([44]) + program([public(9)]))
    with_two = [(SA, proposal(3, b"\1\2\3\6", ESP_PROPOSAL + [(4, 31, 0), (6, 19, 0)]))] + with_group[1:]
    for last in ([public(9)], [public(9), notification(16441, b"1234")], [notification(16441, b"1")], [notification(14)]):
        c.add("payloads", bytes([SCENE["requests"] | more, 36]) + program(with_two) + bytes([44]) + program(last))
    selectors = lambda kind, protocol, low, high, ends: b"\1\0\0\0" + struct.pack(">BBHHH", kind, protocol, 8 + len(ends), low, high) + ends
    some = [selectors(7, 17, 500, 600, bytes([10, 1, 0, 3, 10, 1, 7, 9])), selectors(7, 1, 0x800, 0x8FF, bytes([10, 1, 0, 0, 10, 1, 255, 255])),
            selectors(8, 0, 0, 65535, bytes(16) + b"\xff" * 16), selectors(7, 0, 9, 3, bytes(8)), selectors(9, 0, 0, 1, bytes(8))]
    for ts in some:
        c.add("payloads", bytes([SCENE["requests"], 36]) + program(child[:2] + [(TSI, ts), (TSR, ts)]))
    name = bytes([0x30, 13, 0x31, 11, 0x30, 9, 6, 3, 0x55, 4, 6, 0x13, 2]) + b"CH"
    for kind, body in ((1, bytes([10, 0, 0, 1])), (1, b"x"), (2, b"a.test"), (2, b""), (3, b"a@test"), (5, bytes(16)), (9, name), (9, b"\x30\x80"), (10, name),
                       (11, b"key\0"), (11, b"k" * 300), (77, b"x")):
        for scene in (SCENE["auth request"], 4):
            for which in (IDI, IDR):
                chain = [(k, bytes([kind, 0, 0, 0]) + body if k == which else b"") for k in (IDI, IDR, 37, AUTH_PAYLOAD, SA, TSI, TSR)]
                c.add("payloads", bytes([scene, 35]) + program(chain, [k for k, b in chain if not b]))
    for protocol, transforms in ((3, [(1, 20, 256)]), (2, [(3, 12, 0), (5, 0, 0)]), (3, [(1, 3, 0), (5, 0, 0)]), (3, [(1, 12, 128), (3, 12, 0), (5, 1, 0)]), (7, [(1, 20, 256)])):
        offer = [(SA, proposal(protocol, b"\1\2\3\7", transforms))] + child[1:]
        c.add("payloads", bytes([SCENE["requests"], 36]) + program(offer))
        c.add("payloads", bytes([SCENE["responses"], 1, 0]) + program(offer))
        c.add("payloads", bytes([SCENE["responses"], 3, 0]) + program(offer))
    gone = [(DELETE, b"\3\4\0\1" + bytes(4))]
    for chain in (gone, gone * 2, gone + end, [(DELETE, b"\3\4\0\2\1\2\3\4" + bytes(4))], [(DELETE, b"\2\4\0\1" + bytes(4))]):
        for behind in (b"", bytes([36]) + program([rekeyed] + child), bytes([36]) + program(child)):
            c.add("payloads", bytes([SCENE["requests"], 37]) + program(chain) + behind)
        for what in (0, 1, 3, 4):
            c.add("payloads", bytes([SCENE["responses"], what, 37]) + program(chain))
    for method in (1, 2, 9, 10, 11, 12, 14, 77):
        for scene in (0, 1, 4, 5):
            for certs in ([37], [37, 37], []):
                kinds = [IDR if scene % 4 else IDI] + certs + [AUTH_PAYLOAD, SA, TSI, TSR]
                value = bytes([method, 0, 0, 0]) + (b"\7\x30\5\6\3\x2b\x65\x70" if method == 14 else b"") + bytes(64)
                c.add("payloads", bytes([scene, 35]) + program([(k, value if k == AUTH_PAYLOAD else b"") for k in kinds], [k for k in kinds if k != AUTH_PAYLOAD]))
    # One fuzzed exchange behind another: the first is as it should be.
    for what in (0, 1, 3):
        genuine = [SA, NONCE] + ([KE] if what in (0, 3) else []) + ([] if what == 0 else [TSI, TSR])
        again = program([(k, b"") for k in genuine], genuine)
        c.add("payloads", bytes([SCENE["responses"], what, 0]) + again + bytes([0]) + program([]) + bytes([what, 0]) + again)


def eap(c):
    """As fuzz_eap.c has it: each way of authentication as it is, and with one of its messages replaced."""
    server, false, twice, say, raw, touch, without, more = 8, 16, 32, 1, 2, 4, 8, 16
    identity, mschapv2, tls = 1, 26, 13
    named, asked, by_tls, alone = range(4)
    said = {named: [(2, mschapv2, b"\2\1\0\x3a\x31" + bytes(49) + b"a.test"), (2, mschapv2, b"\3"), (2, 3, bytes([mschapv2]))],
            asked: [(2, identity, b"bob")],
            by_tls: [(2, tls, b"\0"), (2, tls, b"\x80\0\0\0\7\x16\3\1\0\2\1\0")],
            named | server: [(1, identity, b""), (1, mschapv2, b"\1\1\0\x1a\x10" + bytes(16) + b"b.test"),
                             (1, mschapv2, b"\3\1\0\x2eS=" + b"A" * 40 + b" M="), (1, mschapv2, b"\4\1\0\x0eE=691 R=0"), (3, 0, b"")],
            by_tls | server: [(1, tls, b"\x20"), (1, tls, b"\xc0\0\0\x40\0" + bytes(90)), (3, 0, b"")]}
    for scene in (named, asked, by_tls, alone):
        for who in (0, server, false, false | server) if scene == named else (0, server):
            c.add("eap", bytes([scene | who]))
    for scene in (named, by_tls):
        for who in (twice, twice | server):
            c.add("eap", bytes([scene | who]))
            for passed in range(4):
                c.add("eap", bytes([scene | who]) + bytes(passed) + bytes([without]))
    for first, packets in said.items():
        for passed in range(3):
            before = bytes([first]) + bytes(passed + (0 if first & server else 1))
            for code, kind, body in packets:
                c.add("eap", before + bytes([say, code, kind]) + struct.pack(">H", len(body)) + body)
            for at in (3, 4, 9):
                c.add("eap", before + bytes([touch, 1]) + struct.pack(">H", at) + b"\1")
    c.add("eap", bytes([named, 0, without]))
    c.add("eap", bytes([server, raw]) + struct.pack(">H", 4) + b"\3\1\0\4")
    c.add("eap", bytes([named, 0, raw | more]) + struct.pack(">H", 3) + b"\2\1\0" + program([(NOTIFY, b"\0\0\x40\x10")]))


# ---- the messages between our processes, from the list that makes their codec

MESSAGES = HERE.parent.parent / "ctrl" / "ipc" / "messages.h"
ROOMS = ["SUPER", "CTL", "IKE", "KEYS", "PATH", "FETCH"]
NUMBERS = {"group": 31, "encr": 20, "encr_bits": 256, "prf": 5, "method": 2, "kind": 2, "most": 100, "schemes": 0xFFF, "mode": 1, "ok": 1}
SELECTORS = b"\1" + b"\4\0" + struct.pack(">HH", 0, 65535) + bytes([10, 1, 0, 0]) + bytes(12) + bytes([10, 1, 255, 255]) + bytes(12)


def field(kind, name):
    if kind in ("U8", "U16", "U32", "U64"):
        return NUMBERS.get(name, 1).to_bytes(int(kind[1:]) // 8, "big")
    if kind == "STR":
        return struct.pack(">H", 1) + b"t"
    if kind == "BLOB":
        size = 32 if name in ("peer_public", "ni", "nr") else 12
        return struct.pack(">I", size) + bytes([2]) * size
    return b"\4" + bytes([10, 0, 0, 2]) + bytes(12) if kind == "ADDR" else SELECTORS


def between_processes(c):
    text = re.sub(r"/\*.*?\*/", "", MESSAGES.read_text().replace("\\\n", " "))
    fields = {m[1]: re.findall(r"F\((\w+), (\w+), \w+\)", m[2]) for m in re.finditer(r"#define MSG_(\w+)_FIELDS\(F\)(.*)", text)}
    listed = re.search(r"#define MSG_LIST\(X\)(.*)", text)[1]
    for number, m in enumerate(re.finditer(r"X\((\w+), ((?:[^()]|\([^()]*\))*)\)", listed), 1):
        message = struct.pack(">H", number) + b"".join(field(*f) for f in fields[m[1]])
        for to, target in (("IKE", 0), ("KEYS", 1), ("CTL", None)):
            for sender in ROOMS:
                if f"AT({sender}, {to})" not in m[2]:
                    continue
                row = struct.pack(">H", len(message)) + message
                if target is None:
                    c.add("vici", bytes([16 | ROOMS.index(sender)]) + row)
                else:
                    c.add("ipc", bytes([target, ROOMS.index(sender)]) + row)
                    c.add("ipc", bytes([target, ROOMS.index(sender)]) + row + bytes([8 | ROOMS.index(sender)]) + row)


IDENTITIES = ["fqdn:a.test", "keyid:#616263", "keyid:#6", "ipv4:10.0.0.1", "ipv6:10.0.0.1", "email:a@b.test", "asn1dn:CN=a", "asn1dn:#3000", "asn1gn:x", "CN=a, C=CH",
              "a=b", "10.0.0.1", "fd00::1", "10.0.0.0/8", "10.0.0.0/33", "fd00::/64", "10.0.0.1-10.0.0.9", "10.0.0.9-10.0.0.1", "fd00::1-fd00::9", "a@b.test", "@#61:62", "@@a@b",
              "@a.test", "x:y", "%any", "*.test", ""]


def secrets_of(c):
    """Shared secrets by each form of an identity, and one of all of them."""
    number = 1 + [m[1] for m in re.finditer(r"X\((\w+), ", re.search(r"#define MSG_LIST\(X\)(.*)", MESSAGES.read_text().replace("\\\n", " "))[1])].index("SECRET_LOAD")
    owner = lambda text: struct.pack(">H", len(text)) + text.encode()
    for owners in [owner(i) for i in IDENTITIES] + [b"".join(owner(i) for i in IDENTITIES if ":" not in i)]:
        for kind in (b"ike", b"eap", b"ppk"):
            message = struct.pack(">HIH", number, 1, 1) + b"t" + struct.pack(">H", len(kind)) + kind + struct.pack(">I", 6) + b"secret" + struct.pack(">I", len(owners)) + owners
            c.add("ipc", bytes([1, ROOMS.index("CTL")]) + struct.pack(">H", len(message)) + message)


# ---- VICI

CONNECTION = {"t": {"local_addrs": ["10.0.0.1"], "remote_addrs": ["10.0.0.2"], "proposals": ["aes256gcm16-prfsha256-x25519"],
                    "version": "2", "dpd_delay": "30s", "rekey_time": "4h", "unique": "replace",
                    "local-1": {"auth": "psk", "id": "a.test"}, "remote-1": {"auth": "psk", "id": "b.test"},
                    "children": {"c": {"local_ts": ["10.1.0.0/16[udp/9000-9999]"], "remote_ts": ["10.2.0.0/16"], "mode": "tunnel",
                                       "esp_proposals": ["aes256gcm16-x25519", "default"], "start_action": "trap",
                                       "rekey_bytes": "500000000", "replay_window": "64", "priority": "7"}}}}
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
COMMANDS = {"version": {}, "stats": {}, "reload-settings": {}, "get-algorithms": {}, "get-conns": {}, "get-keys": {}, "get-shared": {},
            "get-authorities": {}, "get-pools": {}, "clear-creds": {}, "get-counters": {"all": "yes"}, "reset-counters": {"all": "yes"},
            "load-conn": CONNECTION, "unload-conn": {"name": "t"}, "list-conns": {}, "list-sas": {"noblock": "yes"},
            "list-policies": {"trap": "yes"}, "list-certs": {"type": "X509"}, "list-authorities": {"name": "x"},
            "initiate": {"child": "c", "timeout": "1000", "loglevel": "1"}, "terminate": {"ike": "t", "force": "yes"},
            "rekey": {"child": "c"}, "install": {"child": "c", "ike": "t"}, "uninstall": {"child": "c"}, "load-shared": {"id": "x", "type": "IKE", "data": "secret", "owners": ["a.test"]},
            "unload-shared": {"id": "x"}, "load-key": {"type": "any", "data": "0" * 40}, "unload-key": {"id": "00" * 20},
            "load-cert": {"type": "X509", "flag": "NONE", "data": PEM}, "flush-certs": {"type": "X509"}, "load-token": {"handle": "00"},
            "load-authority": {"x": {"cacert": PEM, "crl_uris": ["http://crl.test/x"], "ocsp_uris": ["http://ocsp.test/"]}},
            "unload-authority": {"name": "x"}, "load-pool": {"p": {"addrs": "10.9.0.0/24"}}, "unload-pool": {"name": "p"}, "unknown": {}}


def named(name):
    return bytes([len(name)]) + name.encode()


def element(name, value):
    if isinstance(value, dict):
        return b"\1" + named(name) + b"".join(element(*kv) for kv in value.items()) + b"\2"
    if isinstance(value, list):
        return b"\4" + named(name) + b"".join(b"\5" + struct.pack(">H", len(v)) + v.encode() for v in value) + b"\6"
    return b"\3" + named(name) + struct.pack(">H", len(value)) + value.encode()


def frame(kind, packet, name, message):
    body = bytes([packet]) + named(name) + b"".join(element(*kv) for kv in message.items())
    return bytes([kind]) + struct.pack(">H", len(body)) + body


RICH = {"t": {"local_addrs": ["10.0.0.1", "fd00::1"], "remote_addrs": ["10.0.0.0/24", "%any"], "local_port": "500", "remote_port": "4500", "proposals": ["default"], "vips": ["0.0.0.0", "::"],
              "pools": ["p", "q"], "aggressive": "no", "encap": "yes", "mobike": "no", "fragmentation": "force", "childless": "prefer", "send_certreq": "yes", "send_cert": "always",
              "ppk_id": "x", "ppk_required": "yes", "keyingtries": "0", "reauth_time": "1h", "over_time": "10m", "rand_time": "1m", "pull": "yes",
              "local-1": {"auth": "pubkey", "id": "CN=a", "round": "1"}, "local-2": {"auth": "eap-mschapv2", "id": "a@b.test", "eap_id": "bob", "aaa_id": "c.test", "round": "2"},
              "remote-1": {"auth": "pubkey", "id": "10.0.0.0/8", "revocation": "strict", "ca_id": "CN=ca"}, "remote-2": {"auth": "eap-tls", "id": "%any", "eap_id": "%any", "round": "2"},
              "children": {"c": {"ah_proposals": ["sha256"], "mode": "transport", "start_action": "start|trap", "close_action": "start", "dpd_action": "restart", "inactivity": "60",
                                 "life_time": "1h", "life_bytes": "1000000", "life_packets": "1000", "rand_bytes": "10", "mark_in": "1/2", "mark_out": "3", "set_mark_out": "4", "if_id_in": "5",
                                 "if_id_out": "%unique", "updown": "x", "hostaccess": "yes", "tfc_padding": "mtu", "hw_offload": "auto", "copy_df": "no", "copy_ecn": "no", "copy_dscp": "in"},
                           "d": {"local_ts": ["dynamic", "10.1.0.0-10.1.0.9[tcp]", "fd00::/64[58/128]"], "remote_ts": ["0.0.0.0/0", "::/0"], "mode": "pass"}, "e": {"mode": "drop"}}}}


def vici(c):
    for one in [{"t": {**RICH["t"], "children": {name: child}}} for name, child in RICH["t"]["children"].items()] + \
            [{"t": {k: v}} for k, v in RICH["t"].items()] + [{"t": {**CONNECTION["t"], k: v}} for k, v in RICH["t"].items()] + \
            [{"t": {**CONNECTION["t"], "children": {"c": {k: v}}}} for child in RICH["t"]["children"].values() for k, v in child.items()] + [RICH]:
        c.add("vici", frame(0, 0, "load-conn", one))
    load = frame(0, 0, "load-conn", CONNECTION)
    for name, message in COMMANDS.items():
        for kind in (0, 64):
            c.add("vici", frame(kind, 0, name, message))
            c.add("vici", frame(0, 3, {"list-sas": "list-sa", "list-certs": "list-cert"}.get(name, "list-conn"), {}) + load + frame(kind, 0, name, message))


def that_vici_refuses(c):
    """Packets whose elements do not fit, and events that come, go and are not known."""
    packet = lambda kind, body: bytes([0]) + struct.pack(">H", 1 + len(body)) + bytes([kind]) + body
    begin = named("load-conn")
    section, end, key, listed, item, ended = (bytes([n]) for n in range(1, 7))
    value = lambda text: struct.pack(">H", len(text)) + text.encode()
    for body in (section, section + bytes([0]), section + bytes([9]) + b"x", section + bytes([2]) + b"\x01x", key + named("a"), key + named("a") + b"\0", key + named("a") + b"\0\x09x",
                 key + named("a") + value("1") + key + named("a") + value("2"), section * 1 + named("s"), (section + named("s")) * 40, end, item + value("x"),
                 listed + named("l") + item + value("x"), listed + named("l") + key + named("a") + value("1"), listed + named("l") + listed + named("m"), ended, b"\x09",
                 b"".join(key + named("k%d" % n) + value("") for n in range(1200))):
        c.add("vici", packet(0, begin + body))
    for kind in (3, 4):
        for name in ("log", "ike-updown", "no-such-event", ""):
            c.add("vici", packet(3, named("log")) + packet(kind, named(name)) + packet(0, named("stats")))
    for kind in (0, 1, 2, 5, 6, 7, 8, 99):
        c.add("vici", packet(kind, named("stats")))
        c.add("vici", packet(kind, bytes([200]) + b"x"))
        c.add("vici", packet(kind, b""))


# ---- certificates: what an authority signs, without its signature

DER, CERTIFICATE, CRL, OCSP, NAME, AUTH_VALUE = range(6)
FROM, UNTIL = datetime.datetime(2020, 1, 1), datetime.datetime(2040, 1, 1)
LATELY, SOON = datetime.datetime(2026, 5, 31), datetime.datetime(2026, 7, 1)


def common_name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def certificates(c):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([1, 2, 3, 4, 5, 6, 7, 8]) + bytes(24))
    blank = x509.CertificateBuilder().issuer_name(common_name("root")).public_key(key.public_key()).not_valid_before(FROM).not_valid_after(UNTIL)
    root = blank.subject_name(common_name("root")).serial_number(1).add_extension(x509.BasicConstraints(True, None), True).sign(key, None)
    plain = blank.subject_name(common_name("end")).serial_number(2)
    names = x509.SubjectAlternativeName([x509.DNSName("end.test"), x509.RFC822Name("a@end.test"), x509.DirectoryName(common_name("x"))])
    source = x509.UniformResourceIdentifier("http://crl.test/x")
    rich = (plain.add_extension(names, False).add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.CRLDistributionPoints([x509.DistributionPoint([source], None, None, None)]), False)
            .add_extension(x509.AuthorityInformationAccess([x509.AccessDescription(x509.AuthorityInformationAccessOID.OCSP, source)]), False)
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(x509.NameConstraints([x509.DNSName("test")], None), True)
            .add_extension(x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
    for one in (root, plain.sign(key, None), plain.add_extension(names, False).sign(key, None), rich.sign(key, None)):
        c.add("certs", bytes([CERTIFICATE]) + one.tbs_certificate_bytes)
        c.add("certs", bytes([DER]) + one.public_bytes(serialization.Encoding.DER))
        c.add("certs", bytes([DER]) + one.public_bytes(serialization.Encoding.PEM))
        c.add("certs", bytes([NAME]) + one.subject.public_bytes() * 2)
    empty = x509.CertificateRevocationListBuilder().issuer_name(common_name("root")).last_update(LATELY).next_update(SOON)
    entry = x509.RevokedCertificateBuilder().revocation_date(LATELY)
    full = empty.add_extension(x509.CRLNumber(7), False).add_revoked_certificate(
        entry.serial_number(2).add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), False).build())
    for one in (empty.sign(key, None), full.sign(key, None), empty.add_revoked_certificate(entry.serial_number(3).build()).sign(key, None)):
        c.add("certs", bytes([CRL]) + one.tbs_certlist_bytes)
        c.add("certs", bytes([DER]) + one.public_bytes(serialization.Encoding.DER))
    end = plain.sign(key, None)
    for status in (ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN):
        revoked = LATELY if status is ocsp.OCSPCertStatus.REVOKED else None
        answer = (ocsp.OCSPResponseBuilder().add_response(end, root, hashes.SHA1(), status, LATELY, SOON, revoked, None)
                  .responder_id(ocsp.OCSPResponderEncoding.HASH, root).sign(key, None))
        c.add("certs", bytes([OCSP]) + answer.tbs_response_bytes)
        c.add("certs", bytes([DER]) + answer.public_bytes(serialization.Encoding.DER))
    early, late = datetime.datetime(2025, 1, 1), datetime.datetime(2030, 1, 1)
    other = blank.subject_name(common_name("other")).serial_number(9).sign(key, None)
    for about, this, following in ((end, early, early + (SOON - LATELY)), (end, late, late + (SOON - LATELY)), (end, LATELY, None), (other, LATELY, SOON)):
        answer = (ocsp.OCSPResponseBuilder().add_response(about, root, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, this, following, None, None)
                  .responder_id(ocsp.OCSPResponderEncoding.NAME, root).sign(key, None))
        c.add("certs", bytes([OCSP]) + answer.tbs_response_bytes)
    forms = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    c.add("certs", bytes([DER]) + key.private_bytes(*forms))
    for text in ("C=CH, O=Lab, CN=end", "CN=*, OU=a\\,b, DC=x", "asn1dn:#300d310b3009060355040613024348"):
        c.add("certs", bytes([NAME]) + text.encode())
    c.add("certs", bytes([AUTH_VALUE, 7]) + bytes([0x30, 5, 6, 3, 0x2b, 0x65, 0x70]) + bytes(64))


def main():
    c = Corpus(pathlib.Path(sys.argv[1]))
    for name in sorted(EXCHANGES.glob("*.json")):
        for message in json.loads(name.read_text())["messages"]:
            outer(c, message)
            if message.get("plaintext"):
                decrypted(c, message)
    resumption(c)
    that_fit(c)
    fragments_that_stay(c)
    eap(c)
    between_processes(c)
    secrets_of(c)
    vici(c)
    that_vici_refuses(c)
    certificates(c)


if __name__ == "__main__":
    main()
