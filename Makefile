# Sluice. `make help` lists the targets. Only Python ≥ 3.11 and make are assumed.
PYTHON ?= python3
BIN    := .venv/bin
SETUP  := .venv/.installed
BENCH  := .build/bench
FUZZ   := .build/fuzz
JOBS   := 2
export PYTHONDONTWRITEBYTECODE := 1
# jsii, under AWS CDK, looks for `node` here; setup.sh may have put one into .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help setup lint format unit test schema errors permissions synth sbom lock deploy demo up down chaos bench memory dataset size mutants fuzz clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | while IFS="$$(printf '\t')" read -r t d; do printf '  make %-8s %s\n' "$$t" "$$d"; done

setup: $(SETUP) ## create .venv with everything in it

$(SETUP): requirements.txt requirements-dev.txt lambdas/requirements.txt local/setup.sh pyproject.toml
	@PYTHON="$(PYTHON)" sh local/setup.sh
	@touch $@

lint: $(SETUP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(SETUP) ## let ruff format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

unit: $(SETUP) ## the unit tests alone
	$(BIN)/pytest -q tests/unit

test: lint ## lint, types and all the tests; in two processes, or JOBS=4
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile

schema: $(SETUP) ## write the message's JSON Schema to docs/message.schema.json
	@cd lambdas && ../$(BIN)/python -m sluice.inputs.schema > ../docs/message.schema.json

errors: $(SETUP) ## write the error codes to docs/errors.md
	@cd lambdas && ../$(BIN)/python -m sluice.error_codes > ../docs/errors.md

permissions: $(SETUP) ## take each permission away, see what fails, and write the table of docs/security.md
	@SLUICE_WRITE_PERMISSIONS=1 $(BIN)/pytest -q tests/e2e/test_permissions.py

synth: $(SETUP) ## write the CloudFormation template to cdk.out/; needs no AWS account
	@CDK_OUTDIR=cdk.out $(BIN)/python app.py && echo "cdk.out/Sluice.template.json"

sbom: $(SETUP) ## write what goes into Lambda to cdk.out/: sbom.cdx.json (CycloneDX) and licences.txt
	@$(BIN)/python -m infrastructure.sbom cdk.out && echo "cdk.out/sbom.cdx.json cdk.out/licences.txt"

lock: $(SETUP) ## write lambdas/requirements.lock, with the hashes of what lambdas/requirements.txt pins
	@$(BIN)/pip-compile --quiet --allow-unsafe --strip-extras --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file lambdas/requirements.lock lambdas/requirements.txt

deploy: $(SETUP) ## deploy to the AWS account of your credentials
	npx --yes aws-cdk@2.1148.1 deploy $(CDK_ARGS)

demo: $(SETUP) ## run everything on this machine, on real input, and show every outcome
	@$(BIN)/python -m local demo

up: $(SETUP) ## start the local run and print the exports; CONTAINERS="name=url" puts your own behind it
	@$(BIN)/python -m local up $(CONTAINERS)

down: $(SETUP) ## stop the local run
	@$(BIN)/python -m local down

chaos: $(SETUP) ## thousands of requests through everything that can go wrong, and an audit; SEEDS="1 2 3" REQUESTS=5000
	@$(BIN)/python -m local.chaos $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(SEEDS),--seeds $(SEEDS))

bench: $(SETUP) $(BENCH)/.installed ## measure against what people use today; about ten minutes; as root also on a small function's CPU
	@PYTHONPATH=. $(BENCH)/bin/python benchmarks/run.py

$(BENCH)/.installed: benchmarks/requirements.txt lambdas/requirements.txt
	@mkdir -p .build; python=$$(python3.13 -c 'import sys; print(sys.executable)' 2>/dev/null || echo "$(PYTHON)"); \
	"$$python" -m venv $(BENCH) && $(BENCH)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

memory: $(SETUP) ## measure what the functions of transform/ hold in memory, with files of up to 10 GB; some minutes
	@$(BIN)/python benchmarks/memory.py

dataset: $(SETUP) ## a million rows over the local run, line for line as one process answers; ROWS=1000000
	@$(BIN)/python -m local.dataset $(if $(ROWS),--rows $(ROWS))

size: $(SETUP) ## settings for a workload: make size ARGS="--latency-ms 200 --concurrency 100 --per-second 150"
	@$(BIN)/sluice size $(ARGS)

mutants: $(SETUP) ## break the failure table and the guards one at a time; which breaks does no test notice?
	@$(BIN)/python -m tests.mutants

fuzz: $(SETUP) $(FUZZ)/.installed ## half a million inputs, led by coverage, for parsers and the local endpoint; RUNS=500000
	@PYTHONPATH=$(FUZZ)/site $(BIN)/python -m tests.fuzz $(if $(RUNS),--runs $(RUNS))

$(FUZZ)/.installed: tests/fuzz/requirements.txt
	@mkdir -p $(FUZZ) && $(BIN)/pip install --quiet --disable-pip-version-check --target $(FUZZ)/site -r $<
	@touch $@

clean: ## remove what these targets made
	rm -rf .build .local cdk.out .mypy_cache .pytest_cache .ruff_cache .hypothesis
