# SPDX-License-Identifier: Apache-2.0
# Tests of the daemon's configuration, its VICI server and the ctl process.
$(eval $(call unit_test,test_vici_msg,tests/unit/test_vici_msg.c ctrl/ctl/vici_msg.c,-lcrypto))
$(eval $(call unit_test,test_config,tests/unit/test_config.c $(CONFIG_SRCS) $(CTRL_LIB_SRCS) ctrl/ctl/vici_msg.c,-lcrypto -lm))
$(eval $(call unit_test,test_config_conn,tests/unit/test_config_conn.c $(CONFIG_SRCS) $(CTRL_LIB_SRCS) ctrl/ctl/vici_msg.c,-lcrypto -lm))
$(eval $(call unit_test,test_vici_server,tests/unit/test_vici_server.c ctrl/ctl/server.c ctrl/ctl/client.c ctrl/ctl/listen.c ctrl/ctl/vici_msg.c ctrl/config/values.c $(CTRL_LIB_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_super,tests/unit/test_super.c $(filter-out ctrl/super/main.c ctrl/super/supervise.c,$(SUPER_SRCS)) $(CONFIG_SRCS) ctrl/ctl/vici_msg.c $(CTRL_LIB_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_vici_ctl,tests/unit/test_vici_ctl.c $(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_config_keys,tests/unit/test_config_keys.c ctrl/config/gen/table.c $(CONFIG_SRCS) $(CTRL_LIB_SRCS) ctrl/ctl/vici_msg.c,-lcrypto -lm))
$(eval $(call unit_test,test_vici_lists,tests/unit/test_vici_lists.c tests/unit/vici_rig.c $(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm))
$(eval $(call unit_test,test_swanctl_file,tests/unit/test_swanctl_file.c $(CONFIG_SRCS) $(CTRL_LIB_SRCS) ctrl/ctl/vici_msg.c,-lcrypto -lm))
$(eval $(call unit_test,test_config_memory,tests/unit/test_config_memory.c tests/unit/no_memory.c $(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm $$(NO_MEMORY_LDFLAGS)))
$(eval $(call unit_test,test_ctl_memory,tests/unit/test_ctl_memory.c tests/unit/vici_rig.c tests/unit/no_memory.c $(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm $(NO_MEMORY_LDFLAGS)))
