#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes the first inputs of the fuzz targets into OUT/TARGET/: the messages that two strongSwan 5.9.8 daemons
# exchanged (tests/vectors/ikev2; see tests/vectors/README.md), in the forms that the targets read.
# usage: seeds.py OUT
import json
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
EXCHANGES = HERE.parent / "vectors" / "ikev2"
AUTH, CREATE_CHILD, INFORMATIONAL = 35, 36, 37
GENUINE, SPI = 2, 4
IDI, IDR, AUTH_PAYLOAD, NOTIFY, DELETE = 35, 36, 39, 41, 42
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
        c.add("payloads", bytes([scene]) + code + program(chain, (IDI, IDR, AUTH_PAYLOAD)))
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


def outer(c, message):
    octets = bytes.fromhex(message["msg"])
    for scene in range(4):
        for flags in (0, 1, 3, 16, 19):
            c.add("datagram", bytes([scene, flags]) + struct.pack(">H", len(octets)) + octets)


def main():
    c = Corpus(pathlib.Path(sys.argv[1]))
    for name in sorted(EXCHANGES.glob("*.json")):
        for message in json.loads(name.read_text())["messages"]:
            outer(c, message)
            if message.get("plaintext"):
                decrypted(c, message)


if __name__ == "__main__":
    main()
