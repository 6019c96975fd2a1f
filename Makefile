# Everything a developer runs. No target needs another to be run before it.
# `make setup` wants Python >= 3.11, pip and a C compiler; only `make generate`, `baseline`, `tools` and `grpc-gateway` want Go.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first Python on the PATH that is new enough; `make setup PYTHON=/path/to/python` overrides it.
NEW_ENOUGH := import sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
# Requirements without a wheel are compiled, some by make: it must not inherit the flags of this one.
PIP := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL $(BIN)/python -m pip --quiet --disable-pip-version-check
# Stamps inside the environment: delete it, and all is done again.
REQUIREMENTS_STAMP := .venv/.requirements
PROJECT_STAMP := .venv/.project

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do \
		printf '  %-14s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: $(PROJECT_STAMP) ## Create .venv with everything pinned, and the `harness` command in it
	@:

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make setup needs Python 3.11 or later, with venv, on the PATH" >&2; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "$(PYTHON) is older than Python 3.11, or has no venv" >&2; exit 1; }
	@echo "creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

$(REQUIREMENTS_STAMP): requirements/dev.txt | $(BIN)/python
	@echo "installing pinned requirements (about a minute the first time)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(PROJECT_STAMP): pyproject.toml $(REQUIREMENTS_STAMP)
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.PHONY: demo
demo: setup ## Play a real scenario through every service, and verify each claim made on the way
	@$(BIN)/harness demo

.PHONY: dev
dev: setup ## Run the whole suite here; print ports, tokens and grpcurl lines to try
	@$(BIN)/harness dev

# Processes that share the tests out among themselves; each starts the Redis and the services that its tests want.
WORKERS := auto
.PHONY: test
test: setup ## Run the tests, but for those of the three targets below; PYTEST="-k name" narrows it, WORKERS=0 is one process
	@$(BIN)/pytest tests -q -m "not faults and not documents and not compat" --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal $(PYTEST)

# How often to kill, in each of the tests; empty is what each has, some 15 to 60.
KILLS :=
.PHONY: test-faults
test-faults: setup ## Kill processes at random moments, and count what was lost or done twice (KILLS=100, PYTEST="-k approval")
	@$(if $(KILLS),HARNESS_FAULT_KILLS=$(KILLS)) $(BIN)/pytest tests -q -m faults $(PYTEST)

.PHONY: test-compat
test-compat: setup ## Compare the gateway with the real grpc-gateway, which `make grpc-gateway` builds
	@$(BIN)/pytest tests -q -m compat $(PYTEST)

DOCUMENTS_SECONDS := 50
.PHONY: test-documents
test-documents: setup ## Hold the gateway against its OpenAPI document for DOCUMENTS_SECONDS=50, as each role
	@HARNESS_CONFORMANCE_SECONDS=$(DOCUMENTS_SECONDS) $(BIN)/pytest tests -q -m documents $(PYTEST)

# Debian's and Ubuntu's; HARNESS_CHROMIUM names another one.
.PHONY: browser
browser: ## Install Chromium for the browser tests, where there is none (needs root)
	@command -v chromium >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; }

FUZZ_STAMP := .venv/.fuzz
$(FUZZ_STAMP): requirements/fuzz.txt $(PROJECT_STAMP)
	@$(PIP) install --require-hashes -r requirements/fuzz.txt
	@touch $@

SECONDS := 60
.PHONY: fuzz
fuzz: $(FUZZ_STAMP) ## Fuzz the risk assessment for SECONDS=60, then compare its reading with bash's (Linux on x86-64)
	@mkdir -p .build
	@$(BIN)/python -m tests.fuzz.fuzz_risk -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix=.build/
	@$(BIN)/python -m tests.fuzz.bash_agreement --seconds $$(( $(SECONDS) / 3 ))

.PHONY: check
check: setup ## Format, lint, types, layering, contracts, generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy services sdk tests benchmarks tools
	$(BIN)/lint-imports
	$(BIN)/python -m tools.contracts check

.PHONY: format
format: setup ## Format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: generate
generate: setup ## Write gen/ from protos/ (needs Go)
	@$(BIN)/python -m tools.contracts generate

.PHONY: baseline
baseline: setup ## Accept the contracts as released: `make check` refuses changes that break them
	@$(BIN)/python -m tools.contracts baseline

.PHONY: protodeps
protodeps: setup ## Lay third-party .proto files out for editors and for buf by hand
	@$(BIN)/python -m tools.contracts protodeps

.PHONY: bench
bench: setup ## Measure steps through the real processes; prints JSON lines
	@$(BIN)/python -m benchmarks.steps --seconds 30

.PHONY: bench-gateway
bench-gateway: setup ## Measure what HTTP costs beside gRPC, and 1,000 watchers; prints JSON lines
	@$(BIN)/python -m benchmarks.gateway

.PHONY: bench-risk
bench-risk: setup ## Measure the risk assessment: recall on dressed commands, alarms on everyday ones, speed
	@mkdir -p .build
	@$(BIN)/python -m benchmarks.corpora.evasions --merge > .build/evasions.jsonl
	@$(BIN)/python -m benchmarks.corpora.everyday > .build/everyday.jsonl
	@$(BIN)/python -m benchmarks.risk_detection .build/evasions.jsonl .build/everyday.jsonl \
		benchmarks/corpora/written/*.jsonl
	@$(BIN)/python -m benchmarks.risk_speed

.PHONY: tools
tools: ## Build grpcurl, ghz and versitygw (an S3 server for tests) into .build/bin (needs Go)
	@command -v go >/dev/null || { echo "make tools needs Go: https://go.dev/doc/install" >&2; exit 1; }
	@mkdir -p .build/bin
	@cd tools && go build -o ../.build/bin/ \
		github.com/fullstorydev/grpcurl/cmd/grpcurl \
		github.com/bojand/ghz/cmd/ghz \
		github.com/versity/versitygw/cmd/versitygw \
		github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway
	@ls .build/bin

.PHONY: grpc-gateway
grpc-gateway: setup ## Build the real grpc-gateway for our contracts into .build/bin (needs Go)
	@$(BIN)/python -m tools.grpcgateway.build

# The distribution refers to its own extras; naming it "unsafe" keeps it, and this machine's path to it, out.
LOCK = CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile --quiet --generate-hashes \
	--unsafe-package mother-harness --strip-extras --annotation-style line --resolver backtracking --no-emit-options \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: lock
lock: | $(BIN)/python ## Pin with hashes, into requirements/, what pyproject.toml asks for (UPGRADE=--upgrade for newer ones)
	@$(LOCK) $(UPGRADE) --extra dev --output-file requirements/dev.txt pyproject.toml requirements/compat.in
	@$(LOCK) $(UPGRADE) --extra local --constraint requirements/dev.txt --output-file requirements/runtime.txt \
		pyproject.toml requirements/compat.in
	@$(LOCK) $(UPGRADE) --output-file requirements/fuzz.txt requirements/fuzz.in
	@sed -i '/^# WARNING/,$$d' requirements/dev.txt requirements/runtime.txt requirements/fuzz.txt

.PHONY: clean
clean: ## Remove what was built and cached; keeps .venv
	@rm -rf .build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
