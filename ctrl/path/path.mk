# SPDX-License-Identifier: Apache-2.0
PATH_SRCS := $(wildcard ctrl/path/*.c)
PATH_LIBS := -lmnl
