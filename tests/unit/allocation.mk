# SPDX-License-Identifier: Apache-2.0
# For tests that take memory away (no_memory.h).
NO_MEMORY_LDFLAGS := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup
