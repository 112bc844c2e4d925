# SPDX-License-Identifier: Apache-2.0
# espalierd that fails where it is told to (inject.c), and what becomes of it then.
SYSTEM_TESTS += $(BUILD)/tests/system_inject
comma := ,
INJECT_CALLS := malloc calloc realloc socket socketpair setsockopt getsockname bind listen connect accept4 send sendto sendmsg recv recvmsg read pread write pwrite ftruncate fsync flock mkdir rename unlink chmod stat lstat fstat access dup2 epoll_create1 epoll_ctl epoll_wait poll signalfd eventfd timerfd_create memfd_create mmap mlock mlockall close_range fork fexecve setresgid setresuid open fcntl ioctl strdup strndup
INJECT_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/inject.c $(sort $(ESPALIERD_SRCS)))
$(BUILD)/tests/system_inject: | $(BUILD)/tests/espalierd_inject
$(BUILD)/tests/espalierd_inject: $(INJECT_OBJS) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) $(addprefix -Wl$(comma)--wrap=,$(INJECT_CALLS)) -o $@ $^ $(LIBESPALIER_LIBS) $(PATH_LIBS) -lcurl -ljansson -lmicrohttpd -lseccomp -lcap-ng -lssl -lcrypto -lpci -lm
