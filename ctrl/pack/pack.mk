# SPDX-License-Identifier: Apache-2.0
# Installing: DESTDIR, prefix, and each folder by itself (install.sh names them).
prefix ?= /usr/local
PACK_ENV = BUILD='$(BUILD)' DESTDIR='$(DESTDIR)' prefix='$(prefix)' $(foreach v,bindir libdir includedir datadir sysconfdir mandir docdir unitdir bashdir zshdir fishdir,$(if $($(v)),$(v)='$($(v))'))

.PHONY: install uninstall check-install deb lint-deb check-deb check-image
install: $(PROGRAMS) $(LIBESPALIER) ## put programs, man pages, unit, library and RTL under $(DESTDIR)$(prefix) (/usr/local)
	@$(PACK_ENV) ctrl/pack/install.sh install
uninstall: ## take away what `make install` with the same paths has put there; settings that were changed stay
	@$(PACK_ENV) ctrl/pack/install.sh uninstall

check-install: $(PROGRAMS) $(LIBESPALIER) ## make install into a folder: what is there, nothing beside it, and that it runs from there
	@BUILD=$(BUILD) tests/run.sh tests/pack/install.sh

deb: ## Debian packages, into $(BUILD)/deb (installs debhelper)
	@tests/deps.sh deb
	@ctrl/pack/deb.sh $(BUILD)/deb $(or $(DEB_COPY),$(BUILD)/deb/copy)
	@ls $(BUILD)/deb/*.deb

lint-deb: ## lintian over those (installs it)
	@tests/deps.sh lintian
	@lintian --allow-root --tag-display-limit 0 --fail-on error,warning $(BUILD)/deb/*.changes

check-deb: ## the packages: made twice on bare Debian 12 and 13 and equal, clean by lintian, installed, run, upgraded and purged there (root, debootstrap; half an hour)
	@tests/deps.sh roots
	@BUILD=$(BUILD) tests/run.sh tests/pack/deb.sh

check-image: ## the recipe for a container, step by step on a bare Debian without an engine for containers, and both its uses (root, debootstrap; a few minutes)
	@tests/deps.sh roots
	@BUILD=$(BUILD) tests/run.sh tests/pack/image.sh
