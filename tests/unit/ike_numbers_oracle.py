# SPDX-License-Identifier: Apache-2.0
# The IKEv2 registries as scapy has them, a line each: kind, number, name.
import scapy.contrib.ikev2 as ike


def table(kind, entries):
    for number, name in entries:
        if name:
            print(kind, number, name, sep="\t")


table("notify", ike.IKEv2NotifyMessageTypes.items())
table("exchange", enumerate(ike.IKEv2_exchange_type))
table("auth", ike.IKEv2AuthenticationTypes.items())
table("cert", ike.IKEv2CertificateEncodings.items())
table("attribute", ike.IKEv2ConfigurationAttributeTypes.items())
table("selector", ike.IKEv2TrafficSelectorTypes.items())
for kind, transforms in (("encr", "Encryption"), ("prf", "PRF"), ("integ", "Integrity"),
                         ("ke", "GroupDesc"), ("esn", "Extended Sequence Number")):
    table(kind, ((n, name) for name, n in ike.IKEv2TransformTypes[transforms][1].items()))
