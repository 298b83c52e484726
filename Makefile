# Two commands matter: `make playground` (the whole loop on this machine) and `make test`. Each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AT_ONCE ?= 4# files of tests at once: they wait most of the time, also where there are fewer cores
STAMP := $(VENV)/.installed
TOOLS := .cache/tools
export PYTHONDONTWRITEBYTECODE := # empty: the tests start some 200 processes, and each would compile all that it imports
LOCKS := requirements.lock requirements-build.lock requirements-dev.lock requirements-ci.lock requirements-uv.lock
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

.PHONY: playground kind test lint types unit browser model image e2e nightly tools workflows sbom bench bench-short dependencies audit lock crd manifests clean help

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

playground: $(STAMP) ## the whole loop on one machine; options in ARGS="..."
	@trap : INT; $(BIN)/python -m playground $(ARGS) || [ $$? -eq 130 ] # Ctrl-C is no error

kind: ## from nothing to a healthy endpoint on a kind cluster "eso" (needs docker, kind, kubectl)
	@hack/kind/up $(ARGS)

test: lint types unit ## format, lint, types and every test that needs neither Go nor root and is not marked nightly

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m hack.prose

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest -q -n $(AT_ONCE) --dist loadfile -m "not browser and not e2e and not image and not nightly" $(ARGS)

model: $(STAMP) ## every interleaving of the status protocol (needs spin and cc)
	@command -v spin > /dev/null && command -v cc > /dev/null || { echo "spin and cc are needed: apt-get install spin gcc libc6-dev" >&2; exit 1; }
	$(BIN)/pytest -q tests/contract/test_model.py $(ARGS)

image: $(STAMP) ## build the image without an engine and try it out (needs root, buildah, crun, mmdebstrap, iproute2)
	$(BIN)/python -m tests.image.build
	IMAGE_REQUIRED=1 $(BIN)/pytest -q tests/image $(ARGS)

browser: $(STAMP) ## the pages for people in a real browser (needs chromium); new screenshots: SCREENSHOTS=docs/img
	BROWSER_REQUIRED=1 $(BIN)/pytest -q tests/browser $(ARGS)

e2e: $(STAMP) ## the promises on a real control plane, without those marked nightly (needs Go, root, iproute2)
	$(BIN)/pytest -q -m "e2e and not nightly" tests/e2e $(ARGS)

nightly: $(STAMP) ## what takes too long for .ci/run; docs/testing.md lists it (needs Go, root, on Debian)
	.ci/nightly

bench: $(STAMP) ## what a probe costs, beside others; ARGS="http paced --repeat 5" (needs cc and Go; none: what there is)
	$(BIN)/python -m bench $(ARGS)

bench-short: $(STAMP) ## a glance at it in less than two minutes; judges nothing
	$(BIN)/python -m bench short $(ARGS)

crd: $(STAMP) ## write the CRD and its reference from the models
	$(BIN)/python -m external_service.crd > metacontroller/crd.yaml
	cp metacontroller/crd.yaml helm/external-service-operator/files/
	$(BIN)/python -m hack.reference > docs/reference.md

manifests: crd ## write what the chart and metacontroller/ have in common to both, and the chart's README
	$(BIN)/python -m hack.version
	$(BIN)/python -m hack.configuration
	$(BIN)/python -m hack.chart_manifests
	$(BIN)/python -m hack.values_table

lock: $(STAMP) ## refresh the hashed locks from pyproject.toml
	$(COMPILE) --upgrade pyproject.toml -o requirements.lock
	$(COMPILE) --upgrade pyproject.toml --group dev --extra playground -o requirements-dev.lock
	$(COMPILE) --upgrade --group build -o requirements-build.lock
	$(COMPILE) --upgrade --group ci -o requirements-ci.lock

sbom: $(TOOLS)/.installed ## what is in the image beside its base, as CycloneDX, from the lock: build/sbom.json
	@mkdir -p build
	$(TOOLS)/bin/python -W ignore $(TOOLS)/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --of JSON -o build/sbom.json

dependencies: $(STAMP) ## the licenses of the packages, those not permitted fail; which versions are behind
	$(BIN)/python -m hack.dependencies

audit: $(TOOLS)/.installed ## the locked packages against public lists of vulnerabilities (asks PyPI's service)
	$(TOOLS)/bin/pip-audit --disable-pip --require-hashes $(foreach lock,$(LOCKS),--requirement $(lock))

workflows: $(TOOLS)/.installed $(TOOLS)/bin/actionlint ## lint the workflows of the public CI and the shell scripts (needs Go)
	$(TOOLS)/bin/actionlint -color=false
	$(TOOLS)/bin/check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(TOOLS)/bin/check-jsonschema -q --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	$(TOOLS)/bin/check-jsonschema -q --builtin-schema vendor.dependabot .github/dependabot.yml
	$(TOOLS)/bin/zizmor -q --offline --persona regular .github/workflows
	if command -v shellcheck > /dev/null; then shellcheck -x .ci/run .ci/nightly hack/kind/* tests/kind/*; fi

$(TOOLS)/bin/actionlint: .github/actionlint/go.mod .github/actionlint/go.sum | $(TOOLS)/.installed
	cd .github/actionlint && go build -trimpath -buildvcs=false -mod=readonly -o $(CURDIR)/$@ github.com/rhysd/actionlint/cmd/actionlint

tools: $(TOOLS)/.installed ## the programs that only CI needs, into .cache/tools

$(TOOLS)/.installed: requirements-ci.lock | $(STAMP)
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	@$(BIN)/uv pip sync -q --python $(TOOLS)/bin/python --require-hashes requirements-ci.lock
	@touch $@

$(STAMP): requirements-dev.lock requirements-uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}; name another with make PYTHON=python3.12")'
	@echo "Installing the locked packages into $(VENV), once" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@$(BIN)/uv pip sync -q --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock requirements-uv.lock
	@$(BIN)/uv pip install -q --offline --python $(BIN)/python --no-deps --no-build-isolation -e . # its commands
	@touch $@

clean: ## remove what the targets made
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
