# SPDX-License-Identifier: Apache-2.0
# libespalier: link with $(LIBESPALIER) $(LIBESPALIER_LIBS), include only driver/include/espalier.
LIBESPALIER_SRC := $(wildcard driver/common/*.c driver/soft/*.c driver/bus/*.c driver/card/*.c driver/kernel/*.c)
LIBESPALIER := $(BUILD)/lib/libespalier.a
LIBESPALIER_LIBS := -lpci -lmnl -lcrypto -lpthread

$(LIBESPALIER): $(LIBESPALIER_SRC:%.c=$(BUILD)/obj/%.o)
	@mkdir -p $(@D)
	@echo "  AR      $@"
	@rm -f $@
	@$(AR) rcs $@ $^

.PHONY: libespalier
libespalier: $(LIBESPALIER) ## build the driver library
programs: libespalier
