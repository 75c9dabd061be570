# `make demo` and `make test` install what they need; Python 3.11+ and make are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SPARK_READY := $(VENV)/.spark-ready
# For `make demo`: without the tools for development, which take longer to install.
RUNTIME := .venv-runtime
RUNTIME_READY := $(RUNTIME)/.ready
# The website has an environment of its own, so that the tests do not wait for its packages.
SITE := .venv-site
SITE_READY := $(SITE)/.ready
# So do the tools that build a release and check how it is deployed.
RELEASE := .venv-release
RELEASE_READY := $(RELEASE)/.ready
# The checker of the FinOps Foundation needs other versions of libraries, and a newer Python.
FOCUS := .venv-focus
FOCUS_READY := $(FOCUS)/.ready
FOCUS_PYTHON := 3.12
# dbt needs other versions, too.
DBT := .venv-dbt
DBT_READY := $(DBT)/.ready
# So do Meltano's SDK and a target, which test the tap.
SINGER := .venv-singer
SINGER_READY := $(SINGER)/.ready
SOURCES := src tests bench tools

.PHONY: demo test test-fast compiled-tests lint spark check-spark focus check-focus check-integrations check-pythons checks docs site screenshots vendor check-vendor lock check-lock audit release check-deployment check-dashboards dbt check-dbt check-singer image bench mutants clean

demo: $(RUNTIME_READY)
	PYTHONPATH=src $(RUNTIME)/bin/python -m dashboard_scraper demo

# Tests wait for other processes half of the time, except the fast ones. With three workers per
# processor, the suite takes a fifth longer than with two: each worker imports everything again.
PROCESSORS = $(shell $(PYTHON) -c "import os; print(os.cpu_count() or 1)")
WORKERS = $(shell expr 2 \* $(PROCESSORS))

# Without bytecode on the disk, each worker compiles all tests in every run: 8 seconds each.
unexport PYTHONDONTWRITEBYTECODE
# Otherwise each worker imports trio, for strategies that no test uses.
export HYPOTHESIS_NO_PLUGINS := 1

test: $(READY)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --durations 20 -m "not heavy"

# For development, and for other versions of Python: without the slow tests, and without those that
# need PostgreSQL or Chromium.
test-fast: $(READY)
	$(BIN)/pytest -n $(PROCESSORS) --dist worksteal -m "not slow and not heavy" $(TEST_OPTIONS)

# If there is no bytecode yet, every worker compiles all tests and has Hypothesis build its table of
# characters, all at the same time: do both once before. No program that a test needs has to be there
# yet; with CI set, the tests would insist on them.
compiled-tests: $(READY)
	env -u CI $(BIN)/pytest --collect-only -qq > /dev/null
	$(BIN)/python -c "from hypothesis import strategies; strategies.text().validate()"

lint: $(READY)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/black --check --quiet $(SOURCES)
	$(BIN)/mypy
	$(BIN)/deptry src

# Installs what the test on Spark needs besides Java.
spark: $(SPARK_READY)

# A Spark session must make the same records as the local files have.
check-spark: $(SPARK_READY)
	$(BIN)/pytest -q tests/exports/test_spark.py

# Installs the FinOps Foundation's validator.
focus: $(FOCUS_READY)

# Runs that validator on files of `export --format focus`.
check-focus: $(READY) $(FOCUS_READY)
	$(BIN)/pytest -q -m heavy tests/exports/test_focus.py

# All tests marked `heavy`, except those above. They take long in other programs, and `make test` has
# one example of each or none: races of two writers to a lake, lakes in an object store, a session
# renewed by a real browser, alerts in Prometheus, pods of Kubernetes, each page in axe, and the package
# that people install.
check-integrations: $(READY) $(RELEASE_READY)
	$(BIN)/pytest -q -n $(PROCESSORS) --dist worksteal -m heavy --ignore tests/exports/test_spark.py --ignore tests/exports/test_focus.py

# The fast tests on the newest supported Python that is at hand.
check-pythons: $(READY)
	.ci/other-pythons

# All that a change must pass beside the tests, except what must come before (vendor) or after (Spark).
# The longest come first.
checks: DRAFT := --draft
checks: check-pythons check-integrations lint check-dbt check-singer check-focus check-lock check-dashboards release site audit demo check-deployment

docs: $(READY)
	$(BIN)/python tools/make_documents.py
	$(BIN)/python tools/grafana_dashboards.py
	$(BIN)/python tools/dbt_catalogue.py

# README and docs/ as a website: the same files in the same places, so links stay the same. A broken link
# fails the build, which it would not with --quiet: that counts no warnings.
PAGES := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE docs
SITE_SOURCE := build/site-source

site: $(SITE_READY)
	rm -rf build/site $(SITE_SOURCE)
	mkdir -p $(SITE_SOURCE)
	cp -R $(PAGES) $(SITE_SOURCE)
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict

# Needs chromium and chromedriver.
screenshots: $(READY)
	$(BIN)/python tests/support/take_screenshots.py docs

bench: $(READY)
	$(BIN)/python bench/last_28_days.py
	$(BIN)/python bench/store.py
	$(BIN)/python bench/conversion.py
	$(BIN)/python bench/github_reports.py
	$(BIN)/python bench/analytics.py
	$(BIN)/python bench/serve.py --users 500
	$(BIN)/python bench/report.py
	$(BIN)/python bench/long_export.py --users 500
	$(BIN)/python bench/lake.py
	$(BIN)/python bench/import_time.py

# Takes half an hour: prints changes of the code that no test notices.
mutants: $(READY)
	$(BIN)/python tools/mutation_run.py

# The libraries that draw the report, and those with which the tests check the report and the server:
# copied unchanged from npm's packages.
VENDOR := src/dashboard_scraper/templates/vendor
VENDOR_OF_TESTS := tests/vendor
MODULES := $(VENV)/vendor/node_modules

MODULES_READY := $(VENV)/vendor/.ready

$(MODULES_READY): package.json package-lock.json
	mkdir -p $(VENV)/vendor
	cp package.json package-lock.json $(VENV)/vendor
	npm ci --prefix $(VENV)/vendor --ignore-scripts --no-audit --no-fund --silent
	touch $@

vendor: $(READY) $(MODULES_READY)
	cp $(MODULES)/d3/dist/d3.min.js $(MODULES)/@observablehq/plot/dist/plot.umd.min.js $(VENDOR)
	cp $(MODULES)/d3/LICENSE $(VENDOR)/LICENSE.d3
	cp $(MODULES)/@observablehq/plot/LICENSE $(VENDOR)/LICENSE.plot
	cp $(MODULES)/axe-core/axe.min.js $(VENDOR_OF_TESTS)
	cp $(MODULES)/axe-core/LICENSE $(VENDOR_OF_TESTS)/LICENSE.axe
	$(BIN)/python tools/github_description.py $(MODULES)/@octokit/openapi/generated/ghec.json > $(VENDOR_OF_TESTS)/github-openapi.json
	cp $(MODULES)/@octokit/openapi/LICENSE $(VENDOR_OF_TESTS)/LICENSE.octokit-openapi

check-vendor: vendor
	git diff --exit-code --stat -- $(VENDOR) $(VENDOR_OF_TESTS)

# Lock files, with the hash of every package: for the program, for the program with every extra except
# Spark, for development, the website, Spark (larger than all others together), releases, images, the
# FOCUS validator, dbt, and the tests of the Singer tap.
# Pins that still satisfy pyproject.toml stay as they are.
LOCKS := requirements.txt requirements-extras.txt requirements-dev.txt requirements-docs.txt requirements-spark.txt requirements-focus.txt requirements-release.txt requirements-image.txt requirements-dbt.txt requirements-singer.txt
COMPILE_FOR = $(BIN)/uv pip compile --quiet --universal --no-header --no-strip-extras --generate-hashes --python-version
COMPILE = $(COMPILE_FOR) 3.11
EXTRAS := --extra postgres --extra parquet --extra iceberg --extra serve --extra copilot-app --extra keyring --extra notify --extra otel

lock: $(READY)
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) $(EXTRAS) --constraint requirements.txt pyproject.toml --output-file requirements-extras.txt
	$(COMPILE) --extra dev --constraint requirements-extras.txt pyproject.toml --output-file requirements-dev.txt
	$(COMPILE) --group pyproject.toml:docs --constraint requirements-dev.txt --output-file requirements-docs.txt
	$(COMPILE) --extra spark --constraint requirements-dev.txt pyproject.toml --output-file requirements-spark.txt
	$(COMPILE) --group pyproject.toml:release --constraint requirements-dev.txt --output-file requirements-release.txt
	$(COMPILE) --group pyproject.toml:image --constraint requirements-dev.txt --output-file requirements-image.txt
	$(COMPILE_FOR) $(FOCUS_PYTHON) --group pyproject.toml:focus --output-file requirements-focus.txt
	$(COMPILE) --group pyproject.toml:dbt --output-file requirements-dbt.txt
	$(COMPILE) --group pyproject.toml:singer --output-file requirements-singer.txt

check-lock: $(READY)
	mkdir -p $(VENV)/lock
	cp $(LOCKS) pyproject.toml $(VENV)/lock
	$(MAKE) --no-print-directory -C $(VENV)/lock -f $(CURDIR)/Makefile BIN=$(CURDIR)/$(BIN) READY= lock
	for lock in $(LOCKS); do diff -u $$lock $(VENV)/lock/$$lock || exit 1; done

# Fails on a known vulnerability; lists the packages for which no advisories could be read.
audit: $(READY)
	$(BIN)/python tools/audit_dependencies.py requirements-dev.txt

# Wheel, source archive, SBOM, locks and their SHA-256, in dist/; `make release DRAFT=--draft` tries it
# before the changelog has a date and the tree is committed.
release: $(RELEASE_READY)
	$(RELEASE)/bin/python tools/release.py $(DRAFT)

# Checks the files that other programs run: GitHub's workflows, the image, the Compose services, and the
# manifests for Kubernetes.
check-deployment: $(RELEASE_READY)
	$(RELEASE)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(RELEASE)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(RELEASE)/bin/zizmor --offline --no-progress --persona pedantic .github
	$(RELEASE)/bin/hadolint --failure-threshold style Dockerfile
	$(RELEASE)/bin/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
	$(RELEASE)/bin/python tools/check_kubernetes.py

# Checks Grafana's dashboards against the types in Grafana's own packages.
TYPED := $(VENV)/vendor/dashboards.ts
check-dashboards: $(READY) $(MODULES_READY)
	$(BIN)/python tools/grafana_types.py $(TYPED)
	$(MODULES)/.bin/tsc --noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler --target es2022 $(TYPED)

# Runs the dbt package in dbt, on stores in PostgreSQL and SQLite and on a lake. TEST_POSTGRES_URL must
# name a PostgreSQL server.
dbt: $(DBT_READY)

check-dbt: $(READY) $(DBT_READY)
	$(BIN)/python tools/check_dbt.py $(DBT)/bin/dbt

# Runs the tests of Meltano's SDK on the tap, and loads its output into PostgreSQL with a target.
# TEST_POSTGRES_URL must name a PostgreSQL server.
check-singer: $(READY) $(SINGER_READY)
	$(SINGER)/bin/python -m pytest --noconftest -q -c tests/singer/with_sdk/pytest.ini tests/singer/with_sdk/checks.py

# With podman, docker or buildah; another base is `make image IMAGE_OPTIONS="--build-arg BASE=NAME"`.
ENGINE := $(firstword $(foreach engine,podman docker buildah,$(if $(shell command -v $(engine)),$(engine))))
IMAGE := dashboard-scraper
image:
	@test -n "$(ENGINE)" || { echo "install podman, docker or buildah first"; exit 1; }
	BUILDAH_FORMAT=docker $(ENGINE) build --tag $(IMAGE) --build-arg REVISION="$$(git rev-parse HEAD)" \
		--build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/dashboard_scraper/__init__.py)" $(IMAGE_OPTIONS) .

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes -r

# uv takes a tenth of pip's time. pip takes over if uv fails: uv does not exist for every system, and does
# not read pip's configuration, such as another index.
uv_install = $(BIN)/uv pip install --quiet --python $(1)/bin/python --require-hashes --requirement $(2)
install = { test -x $(BIN)/uv && $(uv_install); } || $(1)/bin/python $(PIP_INSTALL) $(2)

$(READY): pyproject.toml requirements-dev.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\]$$/p' requirements-dev.txt > $(VENV)/uv.txt
	$(BIN)/python $(PIP_INSTALL) $(VENV)/uv.txt || echo "going on without uv"
	$(call install,$(VENV),requirements-dev.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

# Spark brings pandas, which pyarrow imports if it is installed.
$(SPARK_READY): $(READY) requirements-spark.txt
	$(call install,$(VENV),requirements-spark.txt)
	touch $@

$(FOCUS_READY): $(READY) requirements-focus.txt
	python=$$(.ci/find-python $(FOCUS_PYTHON)) && $(BIN)/uv venv --quiet --clear --python "$$python" $(FOCUS)
	$(call uv_install,$(FOCUS),requirements-focus.txt)
	touch $@

$(DBT_READY): $(READY) requirements-dbt.txt
	$(PYTHON) -m venv $(DBT)
	$(call uv_install,$(DBT),requirements-dbt.txt)
	touch $@

$(SINGER_READY): $(READY) requirements-singer.txt
	$(PYTHON) -m venv --without-pip $(SINGER)
	$(call uv_install,$(SINGER),requirements-singer.txt)
	touch $@

$(RUNTIME_READY): requirements.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(RUNTIME)
	$(call install,$(RUNTIME),requirements.txt)
	touch $@

$(SITE_READY): requirements-docs.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(SITE)
	$(call install,$(SITE),requirements-docs.txt)
	touch $@

$(RELEASE_READY): requirements-release.txt | $(READY)
	$(CHECK_PYTHON)
	$(PYTHON) -m venv $(RELEASE)
	$(call install,$(RELEASE),requirements-release.txt)
	touch $@

define CHECK_PYTHON
@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
endef

clean:
	rm -rf $(VENV) .venv-3.* $(RUNTIME) $(SITE) $(RELEASE) $(FOCUS) $(DBT) $(SINGER) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
