# SPDX-License-Identifier: Apache-2.0
# The fleet's room with a model of etcd, and its client's JSON.
$(eval $(call unit_test,test_fleet,tests/unit/test_fleet.c tests/unit/etcd_model.c tests/unit/etcd_store.c $(filter-out %/main.c %/etcd_http.c %/etcd_json.c %/curl_loop.c %/tls_file.c,$(FLEET_SRCS)) $(CTRL_LIB_SRCS),-ljansson -lcrypto -lm))
$(eval $(call unit_test,test_etcd,tests/unit/test_etcd.c $(filter %/etcd_http.c %/etcd_json.c %/curl_loop.c %/tls_file.c,$(FLEET_SRCS)) $(CTRL_LIB_SRCS),-lcurl -ljansson -lcrypto -lpthread -lm))
$(eval $(call unit_test,test_vici_fleet,tests/unit/test_vici_fleet.c tests/unit/ctl_rig.c $(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm))
FLEET_WORLD_LDFLAGS := -Wl,--wrap=getrandom
$(eval $(call unit_test,test_fleet_world,tests/unit/test_fleet_world.c tests/unit/fleet_world.c tests/unit/fleet_faults.c tests/unit/etcd_model.c tests/unit/etcd_store.c tests/world/rng.c $(filter-out %/main.c %/etcd_http.c %/etcd_json.c %/curl_loop.c %/tls_file.c,$(FLEET_SRCS)) $(CTRL_LIB_SRCS),-ljansson -lcrypto -lm $(FLEET_WORLD_LDFLAGS)))
