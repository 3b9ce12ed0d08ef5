# `make` alone lists the targets. A variable is set on the command line: make demo DATA=customers.csv SCHEMA=my.toml

DATA       :=
SCHEMA     := schemas/telco.toml
MODEL      := churn
ROWS       := 7000
SEED       := 42
LISTEN     := 127.0.0.1:8000
ADMIN      := 127.0.0.1:8001
REPOSITORY := model-repository
REPORT     := report
PROFILE    := release
BIN        := target/$(PROFILE)
ARGUMENTS  :=

# Without DATA the demo makes its own table of customers.
TABLE = $(or $(DATA),sample-customers.csv)

# $(call quote,NAME): the name as one word of the shell, in quotes only where it has blanks.
quote = $(if $(word 2,$(1)),'$(1)',$(1))

BUILD = cargo build --profile $(PROFILE) --locked --bins

# What the tests start is built together with them: by themselves, programs have fewer features of their
# libraries (tokio without its test clock), and 40 crates would be compiled twice.
TEST_BUILD = cargo build --release --locked --workspace --bins --tests

DEMO = exec env BIN='$(BIN)' DATA='$(DATA)' SCHEMA='$(SCHEMA)' MODEL='$(MODEL)' REPOSITORY='$(REPOSITORY)' \
	REPORT='$(REPORT)' LISTEN='$(LISTEN)' ADMIN='$(ADMIN)' tests/demo.sh

.PHONY: help demo stack build runtime test prometheus dashboards proof-stack proof-swaps proof-kills proof-api proof-soak proof-chaos proof-field proof-clients proof-operations fuzz bench bench-micro bench-train lint fmt fmt-check clippy deny clean
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: ## sample customers, train, export, publish and serve, until Ctrl-C (DATA= SCHEMA= for a table of your own)
	@$(DEMO) check
	engine/onnxruntime/fetch.sh --optional
	$(BUILD)
ifeq ($(DATA),)
	$(BIN)/onnward-exporter sample --schema $(call quote,$(SCHEMA)) --rows $(ROWS) --seed $(SEED) \
		--out $(TABLE)
endif
	$(BIN)/onnward-exporter train --schema $(call quote,$(SCHEMA)) --data $(call quote,$(TABLE)) \
		--repository $(call quote,$(REPOSITORY)) --model $(MODEL) --seed $(SEED) --out $(call quote,$(REPORT)) \
		--other-schema
	@$(DEMO) serve

stack: ## the whole stack with Docker Compose: https://localhost:8000, Prometheus on 9090, Grafana on 3000
	docker compose up --detach --wait
	docker compose cp load-balancer:/run/certificates/ca.pem ca.pem

build: ## compile the programs into target/release
	$(BUILD)

runtime: ## fetch ONNX Runtime's shared library into .onnxruntime/
	engine/onnxruntime/fetch.sh

test: ## download what the tests need and run them all
	engine/onnxruntime/fetch.sh || test -n "$$WITHOUT_ONNXRUNTIME"
	tests/fetch-seaweedfs.sh || test -n "$$WITHOUT_SEAWEEDFS"
	tests/fetch-prometheus.sh || test -n "$$WITHOUT_PROMETHEUS"
	$(TEST_BUILD)
	cargo test --release --locked --workspace

bench-train: ## fit a million rows beside scikit-learn: time, memory, ROC AUC (ARGUMENTS="--libraries --rounds 1")
	.ci/needs bench
	python3 -m venv target/peers/training
	target/peers/training/bin/pip install --quiet --requirement benches/peers/training/requirements.txt
	$(BUILD)
	$(BIN)/onnward-bench train $(ARGUMENTS)

proof-swaps: ## swap two versions 1,000 times under load: no request fails and memory does not grow (ARGUMENTS="--mode pointer")
	engine/onnxruntime/fetch.sh --optional
	$(BUILD)
	$(BIN)/onnward-proofs swaps $(ARGUMENTS)

proof-kills: ## kill engines 200 times while they download from an S3 server (ARGUMENTS="--kills 20")
	engine/onnxruntime/fetch.sh --optional
	tests/fetch-seaweedfs.sh
	$(BUILD)
	$(BIN)/onnward-proofs kills $(ARGUMENTS)

fuzz: ## search for inputs that break the engine (needs cargo-fuzz; ARGUMENTS="--minutes 30 --target request")
	tests/fuzz/run.sh $(ARGUMENTS)

proof-api: ## send 20,000 requests that Schemathesis generates from /openapi.json, with and without a key: no 5xx, no failed check
	engine/onnxruntime/fetch.sh --optional
	$(BUILD)
	tests/api_fuzz/schemathesis.sh

proof-field: ## mix good requests and 10,000 refused ones from each of twelve clients, directly and behind HAProxy: none is lost (ARGUMENTS="--refused 1000")
	engine/onnxruntime/fetch.sh --optional
	$(BUILD)
	tests/field/proof.sh $(ARGUMENTS)

proof-clients: ## generate clients for Python and TypeScript from /openapi.json, compile them and predict with them (needs npm)
	engine/onnxruntime/fetch.sh --optional
	$(BUILD)
	tests/generated_clients/generate.sh

proof-operations: ## an operator's faults over three S3 servers and folders, rollbacks under load, a day in the life (ARGUMENTS="--case NAME --store moto", --list)
	engine/onnxruntime/fetch.sh --optional
	$(BUILD)
	tests/operations/proof.sh $(ARGUMENTS)

proof-soak: ## run twenty minutes at 70 % of capacity with swaps, ground truth, drift and scrapes: nothing fails or grows (ARGUMENTS="--minutes 5")
	engine/onnxruntime/fetch.sh --optional
	$(BUILD)
	$(BIN)/onnward-proofs soak $(ARGUMENTS)

proof-chaos: ## inject faults: signals, kills, a full disk, clock jumps, store outages, slow and idle clients (ARGUMENTS="clock --output json")
	engine/onnxruntime/fetch.sh --optional
	tests/fetch-seaweedfs.sh
	$(BUILD)
	$(BIN)/onnward-proofs chaos $(ARGUMENTS)

proof-stack: ## run compose.yaml with local stand-ins: promote, kill, reload and replace under load, and take it down
	tests/stack/with-docker.sh tests/stack/prove.sh

proof-deploy: ## release versions over SSH under load, good ones and bad ones, which are rolled back (after proof-stack)
	tests/stack/with-docker.sh tests/stack/deploy.sh

bench: ## compare Onnward with other servers side by side, about a quarter of an hour (PROFILE=dist as it ships, DATA=, ARGUMENTS="--quick")
	.ci/needs bench
	engine/onnxruntime/fetch.sh --optional
	$(BUILD)
	$(BIN)/onnward-bench compare $(if $(DATA),--data $(call quote,$(DATA))) $(ARGUMENTS)

bench-micro: ## time the parts of a request one by one, and count allocations
	engine/onnxruntime/fetch.sh --optional
	ORT_DISABLE_TELEMETRY=1 cargo bench --locked --workspace --bench micro --bench allocations

prometheus: ## watch the engine on 127.0.0.1:8000 by a real Prometheus on 127.0.0.1:9090, until Ctrl-C
	tests/fetch-prometheus.sh
	exec target/prometheus/bin/prometheus --config.file=monitoring/prometheus/prometheus.yml \
		--storage.tsdb.path=target/prometheus/data --storage.tsdb.retention.time=40d --web.listen-address=127.0.0.1:9090

dashboards: ## write Grafana's dashboards from their source, and hold them against Grafana's own types
	python3 -B monitoring/grafana/source
	tests/grafana/check.sh

lint: fmt-check clippy ## check the format and run clippy, warnings being errors

fmt-check:
	cargo fmt --all -- --check

clippy:
	cargo clippy --release --locked --workspace --all-targets -- -D warnings

fmt: ## format the code
	cargo fmt --all

deny: ## check licences, bans and sources of all dependencies (needs cargo-deny)
	cargo deny --locked check licenses bans sources

clean: ## remove what was built and fetched; models, reports and tables stay
	cargo clean
	rm -rf .onnxruntime
