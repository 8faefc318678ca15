# `make` lists the targets. Tools that a target needs are installed by it, or it says how to get them.

CARGO ?= cargo
LISTEN ?= 127.0.0.1:7070
DATA ?= data
STATES ?= 30000000
SEED ?= 0
SEEDS ?= 1000000000
NPM := $(shell command -v npm 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help run run-services run-cluster test check fix bench web e2e doc deny fuzz fuzz-quick model sim sim-long power-cut faults load soak dist

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: web ## Build the page and Cairn, and start it as one process on $(LISTEN).
	$(CARGO) run --bin cairn -- serve --listen $(LISTEN) --data $(DATA)

run-services: ## Start the four services as four processes over one local folder.
	$(CARGO) build --bins
	./scripts/run-services $(DATA)

run-cluster: ## Start three ingesters, two queriers and the rest as processes over one local folder.
	$(CARGO) build --bins
	./scripts/run-cluster $(DATA)/cluster

test: ## Run every test, the page's and the real clients' included.
	./scripts/install-test-tools
	$(CARGO) build --workspace --bins --tests
	$(CARGO) test --workspace
	"$$(./scripts/target-dir)/debug/cairn-faults" --quick
	$(MAKE) e2e

check: ## Exactly what CI runs: format, lints, docs, licences, tests, some fuzzing. Changes nothing.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	$(MAKE) deny
	$(MAKE) test
	$(MAKE) fuzz-quick

fix: ## Format and apply what clippy can fix by itself.
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cd web && npm run --silent fix

bench: ## Measure the engine, the block, ingest, queries, names; the figures are in docs/performance.md.
	$(CARGO) bench --workspace --benches

web: ## Build the web page into web/dist, if anything changed since the last time.
ifdef NPM
	@./scripts/build-web
else
	@echo "npm is not installed: going on without the web page. Install Node.js 20 or later for it."
endif

e2e: web ## Test the page in a real browser against a real Cairn.
	$(CARGO) build --bin cairn
	cd web && npm run --silent check && CAIRN="$$(../scripts/target-dir)/debug/cairn" npm test

doc: ## Build the documentation of all crates.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

deny: ## Check who uses which crate, and licences.
	@command -v cargo-deny >/dev/null || $(CARGO) install --quiet --locked cargo-deny --version 0.20.2
	$(CARGO) deny check bans licenses sources

fuzz: ## Fuzz every decoder for a minute each; see fuzz/README.md.
	./scripts/fuzz 60

fuzz-quick: ## Fuzz every decoder for some seconds each, without sanitizers.
	SANITIZER=none ./scripts/fuzz 10

model: ## Look at every order of events around the catalog, as far as STATES go.
	CAIRN_MODEL_STATES=$(STATES) $(CARGO) test --release --package cairn-catalog --test model -- --nocapture

sim: ## Simulate the cluster once, with the faults that SEED gives, and tell what happens.
	CAIRN_SIM_SEED=$(SEED) $(CARGO) test --package cairn-sim --test sim -- --exact one_seed --nocapture

sim-long: ## Simulate the cluster seed after seed, from SEED on, until you stop it or SEEDS are done.
	CAIRN_SIM_FIRST=$(SEED) CAIRN_SIM_SEEDS=$(SEEDS) $(CARGO) test --package cairn-sim --test sim -- --exact whatever_fails_nothing_acknowledged_is_lost_or_doubled --nocapture

power-cut: ## Cut the power 300 times each under the local log and the catalog's (root, XFS, loop devices).
	CAIRN_POWER_CUTS=300 $(CARGO) test --package cairn-wal --package cairn-catalog --lib -- power_cut --nocapture

faults: ## Put a cluster of processes under real faults (root, Linux); the matrix goes to docs/faults.md.
	$(CARGO) build --workspace --bins
	"$$(./scripts/target-dir)/debug/cairn-faults" --report docs/faults.md

load: ## Send a generated fleet to a running Cairn.
	$(CARGO) run --release --bin cairn-loadtest -- --workload loadtest/workloads/small.yaml

soak: ## Start Cairn, send it ten gigabytes, fail if it takes more memory than its budget.
	$(CARGO) build --release --bin cairn --bin cairn-loadtest
	./scripts/soak

dist: web ## Build the optimised binaries that ship.
	$(CARGO) build --profile dist --bins
