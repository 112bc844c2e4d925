# SPDX-License-Identifier: Apache-2.0
# The IKEv2 registries as scapy has them, a line each: kind, number, name.
import scapy.contrib.ikev2 as ike


def table(kind, entries):
    for number, name in entries:
        if name:
            print(kind, number, name, sep="\t")


# The exchanges are a list in scapy 2.5 and a dictionary in 2.6, which has the transforms elsewhere too.
newer = hasattr(ike, "IKEv2ExchangeTypes")
exchanges = ike.IKEv2ExchangeTypes.items() if newer else enumerate(ike.IKEv2_exchange_type)


def transforms_of(kind):
    if newer:
        return ike.IKEv2TransformAlgorithms[ike.IKEv2TransformTypes[kind]].items()
    return ((number, name) for name, number in ike.IKEv2TransformTypes[kind][1].items())


table("notify", ike.IKEv2NotifyMessageTypes.items())
table("exchange", exchanges)
table("auth", ike.IKEv2AuthenticationTypes.items())
table("cert", ike.IKEv2CertificateEncodings.items())
table("attribute", ike.IKEv2ConfigurationAttributeTypes.items())
table("selector", ike.IKEv2TrafficSelectorTypes.items())
for kind, transforms in (("encr", "Encryption"), ("prf", "PRF"), ("integ", "Integrity"),
                         ("ke", "GroupDesc"), ("esn", "Extended Sequence Number")):
    table(kind, transforms_of(transforms))
