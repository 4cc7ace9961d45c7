# People and CI call the same few commands; `make help` lists them.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Compiled at once: a run starts a dozen processes, and each would else compile what it imports.
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt
# uv reads its own variables; an index given to pip counts for both.
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
ifeq ($(strip $(UV_DEFAULT_INDEX)),)
unexport UV_DEFAULT_INDEX
endif
TESTS ?= tests
WORKERS ?= 2

.PHONY: help run test drill soak images images-check images-sizes images-list airflow sbom chart release-check release-images release-chart sign test-cluster check fmt compile bench bench-serving bench-log bench-quality bench-drift setup setup-all packages tools dashboards-preview constraints clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(BIN)/uv:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is needed; name another with make PYTHON=..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

$(VENV)/.ready: $(BIN)/uv pyproject.toml constraints.txt
	@echo "installing the quick environment into $(VENV) (1.3 GB) ..."
	@$(UV) --editable '.[pipelines]'
	@touch $@

$(VENV)/.ready-all: $(VENV)/.ready
	@echo "installing everything that tests need into $(VENV) (with torch, Spark, Evidently: 6 GB) ..."
	@$(UV) --editable '.[all]'
	@touch $@

setup: $(VENV)/.ready ## the quick environment, as make run installs it

setup-all: $(VENV)/.ready-all ## the environment of make test

packages: ## Prometheus, Alertmanager, a browser and wrk, for tests and for everloop up (Debian, Ubuntu)
	@bash .ci/packages

tools: $(VENV)/.ready ## helm 3 and 4, kubectl 1.32 and 1.37, for tests of the chart and the manifests
	@PYTHON=$(BIN)/python bash .ci/tools

run: $(VENV)/.ready ## the whole pipeline once on MovieLens 100K: events in, release out
	@$(BIN)/everloop run $(ARGS)

test: $(VENV)/.ready-all ## all tests that need no cluster
	@bash .ci/packages || echo "going on without them: tests that run Prometheus, a browser or a database will fail"
	@PYTHON=$(BIN)/python bash .ci/tools || echo "going on without them: tests that render the chart or the manifests will fail"
	@$(BIN)/python -m pytest $(TESTS) --ignore=tests/cluster -n $(WORKERS) --dist worksteal $(ARGS)

test-cluster: $(VENV)/.ready-all ## tests on the cluster that KUBECONFIG and KUBEFLOW_ENDPOINT point at
	@$(BIN)/python -m pytest $(or $(filter tests/cluster%,$(TESTS)),tests/cluster) -rs $(ARGS)

drill: $(VENV)/.ready ## the loop's whole story with real processes, in under ten minutes
	@$(BIN)/everloop drill $(ARGS)

soak: $(VENV)/.ready ## five minutes of kill -9 at random, with a checker of what was promised
	@$(BIN)/everloop drill soak --folder .everloop/soak $(ARGS)

images: ## build the images: BUILDER="docker build", IMAGE_LOAD="docker push" (.ci/images says more)
	@bash .ci/images build $(ROLES)

images-sizes: ## how large the images are that were built here
	@bash .ci/images sizes $(ROLES)

images-check: $(VENV)/.ready-all ## lint the Dockerfile, try the images that were built here with BUILDER
	@$(BIN)/hadolint components/Dockerfile
	@$(BIN)/python -m pytest tests/images -rs $(ARGS)

images-list: $(VENV)/.ready ## write images.txt: every image that an installation names
	@PYTHON=$(BIN)/python bash .ci/tools >/dev/null
	@$(BIN)/python -m pipelines.images

sbom: ## dist/sbom-ROLE.cdx.json: what is in the images that were built here
	@bash .ci/release sbom

chart: $(BIN)/uv ## dist/everloop-VERSION.tgz, the Helm chart
	@PYTHON=$(BIN)/python bash .ci/release chart

release-check: ## one version everywhere; TAG=v0.1.0 compares a tag too
	@bash .ci/release check $(TAG)

release-images: ## build and push the images to EVERLOOP_REGISTRY, with their names by digest and their SBOMs in dist/
	@bash .ci/release images

release-chart: $(BIN)/uv ## push the chart to oci://EVERLOOP_REGISTRY/charts
	@PYTHON=$(BIN)/python bash .ci/release push-chart

sign: ## sign with cosign what dist/ names, and attest the SBOMs
	@bash .ci/release sign

airflow: $(BIN)/uv ## the environment in which tests run the DAG of ci/airflow (280 MB)
	@PYTHON=$(PYTHON) bash .ci/airflow

check: $(VENV)/.ready-all ## formatting, lint, types, architecture, golden files, workflow
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || { $(BIN)/lint-imports --no-cache; exit 1; }
	@$(BIN)/hadolint components/Dockerfile
	@PYTHON=$(BIN)/python bash .ci/tools >/dev/null
	@$(BIN)/python -m pipelines.generated --check
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(BIN)/zizmor --offline --quiet --persona pedantic .github

check-chart: $(VENV)/.ready-all tools ## 500 random values of the Helm chart, rendered by helm 3 and 4 and validated
	@EVERLOOP_CHART_VALUES=500 $(BIN)/python -m pytest tests/helm/test_random_values.py -q -n $(WORKERS) --timeout=1200 $(ARGS)

fmt: $(VENV)/.ready-all ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

compile: $(VENV)/.ready ## write all generated files: manifests, rules, dashboards, references
	@PYTHON=$(BIN)/python bash .ci/tools >/dev/null
	@$(BIN)/python -m pipelines.generated

dashboards-preview: $(VENV)/.ready ## draw docs/dashboards/*.png from a real Prometheus
	@$(BIN)/python -m monitoring.dashboards.preview docs/dashboards

bench: bench-serving bench-log bench-quality bench-drift ## all benchmarks

bench-serving: $(VENV)/.ready-all ## our server against kserve's and FastAPI's, in one run
	@$(BIN)/python -m benchmarks.serving $(ARGS)

bench-log: $(VENV)/.ready-all ## the prediction log while its sink is dead
	@$(BIN)/python -m benchmarks.prediction_log $(ARGS)

bench-quality: $(VENV)/.ready-all ## quality of the models on MovieLens 100K
	@$(BIN)/python -m benchmarks.quality $(ARGS)

bench-drift: $(VENV)/.ready-all ## false alarms and power of the drift monitor, its speed beside Evidently's
	@$(BIN)/python -m benchmarks.drift.false_alarms $(ARGS)
	@$(BIN)/python -m benchmarks.drift.speed

constraints: $(BIN)/uv ## resolve constraints.txt anew from pyproject.toml
	@{ echo "# The one resolved set of versions, used by every install and image. Made by: make constraints"; \
	   printf 'pip\nuv\n' | $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --extra all --upgrade \
	   pyproject.toml -; } > constraints.new && mv constraints.new constraints.txt
	@{ echo "# The environment of tests of the DAG. Made by: make constraints"; \
	   $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --upgrade ci/airflow/requirements.in; \
	   } > constraints.new && mv constraints.new ci/airflow/constraints.txt

clean: ## remove what runs and builds leave
	rm -rf .everloop build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
