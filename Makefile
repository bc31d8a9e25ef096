# make demo         a rotation every 2 s under load, on any machine with Rust and a C compiler (JSON=1, SABOTAGE=…)
# make test         everything that must hold; needs root, installs what it needs on Debian and Ubuntu
# make packages     both packages as .deb and .rpm, into target/packages, and a look through them
# make reproducible the packages a second time in another directory: the same, bit for bit (not part of make test)
# make scenarios    only the scenarios on a real systemd; SCENARIOS="--debian 13 --no-sabotage first" chooses some
#                   RENEWD_ROTATIONS=1000 makes the run of many rotations longer than its 200
# make test-step    the scenarios of step-ca, which is built from Debian's sources at the first time (not part of make test)
# make test-pace    how often real CAs are asked for certificates that live a minute: ten minutes (not part of make test)
# make test-spiffe  the scenarios of a SPIFFE Workload API, which is built from Debian's sources at the first time (not part of make test)
# make bench        the sample API beside nginx, HAProxy and a minimal axum server; docs/performance.md says what and how
# make fuzz         each fuzz target for a minute, guided by coverage; needs a C++ compiler (FUZZ_SECONDS=600, FUZZ_TARGETS="policy trace").
#                   What make test does of it, and what came of it: tests/fuzz/README.md
# make build        the programs, unoptimised

.PHONY: build demo test check unit sabotage packages reproducible scenarios newest test-step test-pace test-spiffe prepare bench bench-works fuzz

TARGET := $(or $(CARGO_TARGET_DIR),target)
DEMO = $(TARGET)/debug/demo

build:
	@cargo build --quiet --locked --workspace --bins

demo: build
	@$(DEMO)

# In this order: the cheapest first.
test: check unit sabotage bench-works packages scenarios newest

check:
	cargo fmt --all --check
	cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

unit:
	cargo test --quiet --locked --workspace

# The demo holds, and each of its planted faults turns it red: exit status 1, and no other.
sabotage: build
	$(DEMO)
	for fault in stale drop mismatch; do \
	    status=0; SABOTAGE=$$fault $(DEMO) || status=$$?; \
	    [ $$status = 1 ] || { echo "SABOTAGE=$$fault ended with $$status instead of 1"; exit 1; }; \
	done

# No figure is judged here, only that there are some; they are those of unoptimised programs.
bench-works: build
	$(TARGET)/debug/bench --quick

# BENCH="--json" for each round by itself, BENCH="--only full --rounds 9" for one measure
bench:
	cargo build --quiet --locked --release --package renewd-sample-api --package renewd-tests --bins
	$(TARGET)/release/bench $(BENCH)

# FUZZ_SECONDS=600 for each target, FUZZ_TARGETS="policy trace" for these only
fuzz:
	tests/fuzz/run

prepare:
	tests/prepare.sh

packages: prepare
	packaging/build
	packaging/check

reproducible: packages
	packaging/reproducible

scenarios: packages
	tests/servers.sh $(TARGET)/authorities
	cp -R $(TARGET)/authorities $(TARGET)/packages/
	cargo build --quiet --locked --package renewd-tests --bin scenarios
	$(TARGET)/debug/scenarios $(SCENARIOS)

# On Debian's unstable, with the newest systemd, where it boots; it says so where it does not.
newest: packages
	tests/servers.sh $(TARGET)/authorities
	cp -R $(TARGET)/authorities $(TARGET)/packages/
	cargo build --quiet --locked --package renewd-tests --bin scenarios
	$(TARGET)/debug/scenarios --debian sid --no-sabotage

# Apart, for the minutes that it takes to build; what is built stays.
test-step: packages
	tests/servers/step-ca.sh $(TARGET)/authorities
	cp -R $(TARGET)/authorities $(TARGET)/packages/
	cargo build --quiet --locked --package renewd-tests --bin scenarios
	$(TARGET)/debug/scenarios a_step_

# Five minutes with real CAs, and five for the twin; with step-ca where it was built.
test-pace: packages
	tests/servers.sh $(TARGET)/authorities
	cp -R $(TARGET)/authorities $(TARGET)/packages/
	cargo build --quiet --locked --package renewd-tests --bin scenarios
	$(TARGET)/debug/scenarios --debian 13 a_minute_are_asked

test-spiffe: packages
	tests/servers/spiffe.sh $(TARGET)/authorities
	cp -R $(TARGET)/authorities $(TARGET)/packages/
	cargo build --quiet --locked --package renewd-tests --bin scenarios
	$(TARGET)/debug/scenarios spiffe_
