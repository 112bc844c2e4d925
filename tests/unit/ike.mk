# SPDX-License-Identifier: Apache-2.0
IKE_ROOM_SRCS := $(filter-out %/main.c,$(IKE_SRCS) $(KEYS_SRCS)) $(CRYPTO_SRCS) $(wildcard ctrl/lib/*.c ctrl/ipc/*.c)
$(eval $(call unit_test,test_ike_pair,tests/unit/test_ike_pair.c tests/unit/ike_pair.c $(IKE_ROOM_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_ike_vectors,tests/unit/test_ike_vectors.c $(IKE_ROOM_SRCS),-ljansson -lcrypto -lm))
$(eval $(call unit_test,test_ike_crypto,tests/unit/test_ike_crypto.c $(CRYPTO_SRCS),-lcrypto))
$(eval $(call unit_test,test_ike_message,tests/unit/test_ike_message.c $(IKE_ROOM_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_ike_state,tests/unit/test_ike_state.c tests/unit/ike_pair.c $(IKE_ROOM_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_keys_room,tests/unit/test_keys_room.c $(IKE_ROOM_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_ike_control,tests/unit/test_ike_control.c tests/unit/ike_pair.c $(IKE_ROOM_SRCS),-lcrypto -lm))
