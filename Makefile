# Sluice. `make help` lists the targets. Requires only Python ≥ 3.11 and make.
PYTHON ?= python3
BIN    := .venv/bin
SETUP  := .venv/.installed
BENCH  := .build/bench
FUZZ   := .build/fuzz
JOBS   := 2
CDK    := npx --yes aws-cdk@2.1148.1
# Bytecode, also that of .venv: it is written when a module is first imported, even if the environment, like that of
# many container images, says not to write any. Without it, each process compiles AWS CDK, for 7 s.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.build/pycache
unexport PYTHONDONTWRITEBYTECODE
# jsii, which AWS CDK uses, looks for `node` on the PATH; setup.sh may have installed it in .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help setup lint format unit test schema errors permissions synth sbom lock bootstrap deploy diff destroy rehearse demo up down chaos explore simulate bench compare memory dataset shares slow size mutants fuzz clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | while IFS="$$(printf '\t')" read -r t d; do printf '  make %-11s %s\n' "$$t" "$$d"; done

setup: $(SETUP) ## create .venv with all dependencies

$(SETUP): requirements.txt requirements-dev.txt lambdas/requirements.txt local/setup.sh local/pip_settings.py pyproject.toml
	@PYTHON="$(PYTHON)" sh local/setup.sh
	@touch $@

lint: $(SETUP) ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(SETUP) ## format the code with ruff
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

unit: $(SETUP) ## run only the unit tests
	$(BIN)/pytest -q tests/unit

test: lint ## run the linter, the type checker and all tests, in two processes or JOBS=4
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

schema: $(SETUP) ## write the message's JSON Schema to docs/message.schema.json
	@cd lambdas && ../$(BIN)/python -m sluice.inputs.schema > ../docs/message.schema.json

errors: $(SETUP) ## write the error codes to docs/errors.md
	@cd lambdas && ../$(BIN)/python -m sluice.error_codes > ../docs/errors.md

permissions: $(SETUP) ## remove each permission, record what fails, and write the table in docs/security.md
	@SLUICE_WRITE_PERMISSIONS=1 $(BIN)/pytest -q tests/e2e/test_permissions.py

synth: $(SETUP) ## write the CloudFormation template to cdk.out/; needs no AWS account
	@CDK_OUTDIR=cdk.out $(BIN)/python app.py && $(BIN)/python -m infrastructure.bytecode && echo "cdk.out/Sluice.template.json"

sbom: $(SETUP) ## write the SBOM (CycloneDX) and the licenses of the Lambda packages to cdk.out/
	@$(BIN)/python -m infrastructure.sbom cdk.out && echo "cdk.out/sbom.cdx.json cdk.out/licences.txt"

lock: $(SETUP) ## write lambdas/requirements.lock, with hashes for the pins of lambdas/requirements.txt
	@$(BIN)/pip-compile --quiet --allow-unsafe --strip-extras --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file lambdas/requirements.lock lambdas/requirements.txt

bootstrap: $(SETUP) ## prepare the AWS account and region of your credentials for CDK, once
	$(CDK) bootstrap $(CDK_ARGS)

deploy: $(SETUP) ## deploy to the AWS account of your credentials
	$(CDK) deploy --all $(CDK_ARGS)

diff: $(SETUP) ## show what deploy would change
	$(CDK) diff $(CDK_ARGS)

destroy: $(SETUP) ## delete the stack; buckets, queues and logs are kept, unless retain_data is false
	$(CDK) destroy --all $(CDK_ARGS)

rehearse: $(SETUP) ## bootstrap, deploy, change and destroy each kind of deployment on the local AWS, by the CDK CLI; CASES="KMS VPC"
	@$(BIN)/python -m local.rehearsal --jobs $(JOBS) $(CASES)

demo: $(SETUP) ## run the pipeline on this machine with real inputs and models, and show every outcome
	@$(BIN)/python -m local demo

up: $(SETUP) ## start the local run and print the exports; CONTAINERS="name=url" uses your own container
	@$(BIN)/python -m local up $(CONTAINERS)

down: $(SETUP) ## stop the local run
	@$(BIN)/python -m local down

chaos: $(SETUP) ## run thousands of requests through injected failures, and audit each; SEEDS="1 2 3" REQUESTS=5000
	@$(BIN)/python -m local.chaos $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(SEEDS),--seeds $(SEEDS))

explore: $(SETUP) ## try every schedule of small scenarios: which delivery goes next, which worker is killed
	@PYTHONPATH=.:lambdas $(BIN)/python -m tests.explorer $(EXPLORE)

simulate: $(SETUP) ## simulate thousands of clients and faults in virtual time, and audit each; SEEDS="1 2" REQUESTS=10000
	@PYTHONPATH=.:lambdas $(BIN)/python -m tests.simulation $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(SEEDS),--seeds $(SEEDS)) $(SIMULATE)

bench: $(SETUP) $(BENCH)/.installed ## compare with the usual alternatives; about ten minutes; as root, also at 0.29 CPU
	@PYTHONPATH=. $(BENCH)/bin/python benchmarks/run.py

$(BENCH)/.installed: benchmarks/requirements.txt lambdas/requirements.txt
	@mkdir -p .build; \
	python=$$($(BIN)/python -c 'from infrastructure import bytecode; print(bytecode.interpreter("lambda") or "$(PYTHON)")'); \
	"$$python" -m venv $(BENCH) && $(BENCH)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

compare: $(SETUP) $(BENCH)/.installed ## measure this checkout against another one, side by side: make compare BASE=../other
	@PYTHONPATH=. $(BENCH)/bin/python benchmarks/compare.py $(BASE)

memory: $(SETUP) ## measure the memory of the transform/ functions, with files of up to 10 GB; some minutes
	@$(BIN)/python benchmarks/memory.py

dataset: $(SETUP) ## transform a million rows on the local run, and compare each line; ROWS=1000000
	@$(BIN)/python -m local.dataset $(if $(ROWS),--rows $(ROWS))

shares: $(SETUP) ## count the calls of files with bad records, by their share, and write the table in docs/transform.md
	@PYTHONPATH=.:lambdas $(BIN)/python -m benchmarks.shares

slow: $(SETUP) ## transform prompts for a slow container on the local run: ARGS="--prompts 200 --least 2 --most 10 --function-seconds 180"
	@$(BIN)/python -m local.slow $(ARGS)

size: $(SETUP) ## derive settings for a workload: ARGS="--latency-ms 200 --concurrency 100 --per-second 150"
	@$(BIN)/sluice size $(ARGS)

mutants: $(SETUP) ## mutation tests: change one condition at a time, and list the changes that no test detects
	@$(BIN)/python -m tests.mutants

fuzz: $(SETUP) $(FUZZ)/.installed ## fuzz the parsers and the local endpoint, guided by coverage; RUNS=500000
	@PYTHONPATH=$(FUZZ)/site $(BIN)/python -m tests.fuzz $(if $(RUNS),--runs $(RUNS))

$(FUZZ)/.installed: tests/fuzz/requirements.txt
	@mkdir -p $(FUZZ) && $(BIN)/pip install --quiet --disable-pip-version-check --target $(FUZZ)/site -r $<
	@touch $@

clean: ## remove the files that these targets created
	rm -rf .build .local cdk.out .mypy_cache .pytest_cache .ruff_cache .hypothesis
