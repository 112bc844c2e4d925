# SPDX-License-Identifier: Apache-2.0
PKI_TEST_SRCS := tests/unit/pki_files.c $(PKI_SRCS) $(CRYPTO_SRCS)
$(eval $(call unit_test,test_signature,tests/unit/test_signature.c tests/unit/pki_files.c $(CRYPTO_SRCS),-ljansson -lcrypto))
$(eval $(call unit_test,test_pkits,tests/unit/test_pkits.c $(PKI_TEST_SRCS) ctrl/lib/hash.c,-lcrypto))
$(eval $(call unit_test,test_pki,tests/unit/test_pki.c tests/unit/pki_rig.c $(PKI_TEST_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_fetch,tests/unit/test_fetch.c $(filter-out %/main.c,$(FETCH_SRCS)) $(CTRL_LIB_SRCS),-lcurl -lcrypto -lpthread -lm))
$(eval $(call unit_test,test_revocation,tests/unit/test_revocation.c tests/unit/pki_rig.c $(PKI_TEST_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_pki_memory,tests/unit/test_pki_memory.c tests/unit/no_memory.c tests/unit/pki_rig.c $(PKI_TEST_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm $(NO_MEMORY_LDFLAGS)))
$(eval $(call unit_test,test_pki_oracle,tests/unit/test_pki_oracle.c tests/unit/pki_rig.c $(PKI_TEST_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm))
