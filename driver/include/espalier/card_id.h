// SPDX-License-Identifier: Apache-2.0
// By what a card is known on PCI, to its driver and to who only looks whether there is one.
#ifndef ESPALIER_CARD_ID_H
#define ESPALIER_CARD_ID_H

enum { CARD_VENDOR = 0x1234, CARD_DEVICE = 0xe5b0 };

#endif
