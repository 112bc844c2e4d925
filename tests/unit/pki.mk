# SPDX-License-Identifier: Apache-2.0
$(eval $(call unit_test,test_signature,tests/unit/test_signature.c tests/unit/pki_files.c $(CRYPTO_SRCS),-ljansson -lcrypto))
