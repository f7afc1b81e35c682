# make            builds the release binaries
# make demo       two routers and a client in network namespaces, a failover, its timeline
# make test       lint, unit and property tests, black-box tests
# make test-fallback  black-box tests without eBPF; THEMES=
# make soak       simulated networks that were never tried before; SECONDS=60
# make bench      rvrrpd beside keepalived, into docs/performance.md; KEEPALIVED=PATH, BENCH=--quick
# make scale      4000 virtual routers at 0.1 s for two minutes, the second beside busy loops; SCALE=
# make api-load   1000 virtual routers and 200 clients of the Client API for a minute; LOAD=
# make lint       format and lints alone
# make ebpf       builds the eBPF programs and compares them with the committed object; UPDATE=1
#                 replaces it
# make rules      which test judges which rule of the protocol; fails where a MUST has none
# make conformance  writes that into docs/conformance.md
# make install    programs, C library, configuration, service and group rvrrpd; DESTDIR, PREFIX
# make uninstall  takes them away again, the configuration excepted
#
# What a target needs from Debian it installs itself when it runs as root; otherwise it says which
# command does.

CARGO   ?= cargo
DESTDIR ?=
PREFIX  ?= /usr/local

release  := $(or $(CARGO_TARGET_DIR),target)/release
programs := $(release)/rvrrpd $(release)/rvrrpd-pw $(release)/rvrrpadm
library  := $(release)/librvrrp.so
sources  := Cargo.toml Cargo.lock rvrrpd-ebpf/rvrrpd.bpf.o $(shell find rvrrpd rvrrpd-ebpf rvrrpd-pw rvrrpadm librvrrp -name '*.rs' -o -name Cargo.toml)
version  := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

sbin  := $(DESTDIR)$(PREFIX)/sbin
bin   := $(DESTDIR)$(PREFIX)/bin
lib   := $(DESTDIR)$(PREFIX)/lib
include := $(DESTDIR)$(PREFIX)/include
units := $(DESTDIR)$(PREFIX)/lib/systemd/system
docs  := $(DESTDIR)$(PREFIX)/share/doc/rvrrpd

lab := ip:iproute2 ping:iputils-ping tcpdump:tcpdump
suite := cc:build-essential $(lab) nft:nftables keepalived:keepalived /usr/lib/frr/vrrpd:frr ps:procps \
	curl:curl openssl:openssl setpriv:util-linux chromium:chromium chromedriver:chromium-driver \
	yanglint:libyang-tools strace:strace

.PHONY: build demo test test-fallback bench scale api-load soak lint ebpf rules conformance install uninstall clean

build: $(programs) $(library)

# One rule for all programs and the library. The stamp is newer than the sources even when cargo found nothing to
# do, so that `sudo make install` after `make` runs no cargo, which root may not have.
$(programs) $(library) &: $(sources)
	@scripts/need cc:build-essential
	@command -v $(CARGO) >/dev/null || \
		{ echo "make: no $(CARGO) for user $$(id -un); run plain 'make' as the user who has it, then this again" >&2; exit 1; }
	$(CARGO) build --release -p rvrrpd -p rvrrpd-pw -p rvrrpadm -p librvrrp
	@touch $(programs) $(library)

demo: build
	@scripts/need $(lab)
	@RVRRPD_BIN=$(abspath $(release)/rvrrpd) scripts/demo

test:
	@scripts/need $(suite)
	@scripts/test

# Built by whoever has cargo, run by root.
bench: build
	@scripts/need ip:iproute2 ethtool:ethtool $(if $(KEEPALIVED),,keepalived:keepalived)
	@! command -v $(CARGO) >/dev/null || $(CARGO) build -q --profile observer -p rvrrpd-tests --bin bench
	@$(if $(filter 0,$(shell id -u)),,sudo) env PATH="$$PATH:/usr/sbin:/sbin" KEEPALIVED=$(KEEPALIVED) \
		RVRRPD_BIN=$(abspath $(release)/rvrrpd) \
		$(abspath $(dir $(release))observer/bench) --write docs/performance.md $(BENCH)

scale: build
	@scripts/need $(lab)
	$(CARGO) build --release -p rvrrpd-tests --bin scale
	@RVRRPD_BIN=$(abspath $(release)/rvrrpd) $(release)/scale $(SCALE)

test-fallback:
	@scripts/need $(suite)
	$(CARGO) build -p rvrrpd -p rvrrpadm -p librvrrp
	@scripts/python
	@RVRRPD_TESTS_WITHOUT_BPF=1 $(CARGO) test -p rvrrpd-tests --test suite -- $(THEMES) --test-threads=4

api-load: build
	@scripts/need $(lab) curl:curl chrt:util-linux
	$(CARGO) build --release -p rvrrpd-tests --bin api_load
	@RVRRPD_BIN=$(abspath $(release)/rvrrpd) $(release)/api_load $(LOAD)

soak:
	@SECONDS=$(or $(SECONDS),60) $(CARGO) test -p rvrrpd --test simulation soak -- --ignored --nocapture

lint:
	@scripts/lint

ebpf:
	@scripts/need cc:build-essential /usr/bin/rustc:rustc-web \
		/usr/lib/rustlib/bpfel-unknown-none/lib:libstd-rust-web-dev-bpf \
		/usr/lib/llvm-22/bin/llvm-config:llvm-22 /usr/lib/llvm-22/include/llvm-c:llvm-22-dev
	@scripts/ebpf $(if $(UPDATE),update,compare)

rules:
	@$(CARGO) run -q -p rvrrpd-tests --bin rules

conformance:
	@$(CARGO) run -q -p rvrrpd-tests --bin rules -- --write

install: build
	install -d $(sbin) $(bin) $(lib)/pkgconfig $(include) $(units) $(docs) $(DESTDIR)/etc
	install -m 755 $(release)/rvrrpd $(sbin)/rvrrpd
	install -m 755 $(release)/rvrrpd-pw $(bin)/rvrrpd-pw
	install -m 755 $(release)/rvrrpadm $(bin)/rvrrpadm
	install -m 644 $(library) $(lib)/librvrrp.so.$(version)
	ln -sf librvrrp.so.$(version) $(lib)/librvrrp.so.1
	ln -sf librvrrp.so.1 $(lib)/librvrrp.so
	install -m 644 librvrrp/include/rvrrp.h $(include)/rvrrp.h
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(version)|' librvrrp/rvrrp.pc.in >$(lib)/pkgconfig/rvrrp.pc
	chmod 644 $(lib)/pkgconfig/rvrrp.pc
	@# The linker of programs knows a new library by its cache; a package does that by itself.
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || PATH="$$PATH:/usr/sbin:/sbin" ldconfig
	sed 's|/usr/sbin/|$(PREFIX)/sbin/|' conf/rvrrpd.service >$(units)/rvrrpd.service
	chmod 644 $(units)/rvrrpd.service
	install -m 644 README.md ARCHITECTURE.md CHANGELOG.md LICENSE $(docs)
	install -d $(docs)/docs $(docs)/librvrrp/examples
	install -m 644 docs/*.md $(docs)/docs
	install -d $(docs)/docs/monitoring
	install -m 644 docs/monitoring/* $(docs)/docs/monitoring
	install -m 644 librvrrp/examples/vrrp.c $(docs)/librvrrp/examples
	@# Its members may change what runs, with rvrrpadm. A package makes it by itself.
	@[ -n "$(DESTDIR)" ] || grep -q '^rvrrpd:' /etc/group || \
		{ echo "groupadd --system rvrrpd"; PATH="$$PATH:/usr/sbin:/sbin" groupadd --system rvrrpd; } || \
		echo "make: no group rvrrpd; without it root alone may change what runs" >&2
	@if [ -e $(DESTDIR)/etc/rvrrpd.conf ]; then \
		echo "kept: $(DESTDIR)/etc/rvrrpd.conf"; \
	else \
		echo "install -m 600 conf/rvrrpd.conf $(DESTDIR)/etc/rvrrpd.conf"; \
		install -m 600 conf/rvrrpd.conf $(DESTDIR)/etc/rvrrpd.conf; \
	fi

uninstall:
	rm -f $(sbin)/rvrrpd $(bin)/rvrrpd-pw $(bin)/rvrrpadm $(units)/rvrrpd.service
	rm -f $(lib)/librvrrp.so* $(lib)/pkgconfig/rvrrp.pc $(include)/rvrrp.h
	rm -rf $(docs)

clean:
	$(CARGO) clean
