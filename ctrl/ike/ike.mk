# SPDX-License-Identifier: Apache-2.0
IKE_SRCS := $(sort $(wildcard ctrl/ike/*.c))
KEYS_SRCS := $(wildcard ctrl/keys/*.c)
CRYPTO_SRCS := $(addprefix ctrl/crypto/,algs.c prf.c mschapv2.c dh.c x_curve.c sk.c dn.c key.c signature.c)
