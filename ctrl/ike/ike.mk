# SPDX-License-Identifier: Apache-2.0
IKE_SRCS := $(addprefix ctrl/ike/,room.c main.c exchange.c pending.c sa.c childsa.c conns.c load.c revive.c control.c report.c \
	cookie.c debugkeys.c init.c init_respond.c auth.c auth_respond.c info.c \
	message.c proposal.c selectors.c identity.c)
KEYS_SRCS := $(wildcard ctrl/keys/*.c)
CRYPTO_SRCS := $(addprefix ctrl/crypto/,prf.c dh.c sk.c)
