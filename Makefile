# `make demo` and `make test` set up what they need; Python 3.11+ and make are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := src tests bench

.PHONY: demo test lint docs screenshots vendor check-vendor lock check-lock bench clean

demo: $(READY)
	$(BIN)/python -m dashboard_scraper demo

test: $(READY)
	$(BIN)/pytest -n auto

lint: $(READY)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/black --check --quiet $(SOURCES)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python -m dashboard_scraper.mapping_document > docs/CSV_TO_JSON_MAPPING.md
	$(BIN)/python -m dashboard_scraper.store_document > docs/STORE.md

# With chromium and chromedriver.
screenshots: $(READY)
	$(BIN)/python tests/take_screenshots.py docs

bench: $(READY)
	$(BIN)/python bench/last_28_days.py
	$(BIN)/python bench/store.py
	$(BIN)/python bench/github_reports.py
	$(BIN)/python bench/analytics.py
	$(BIN)/python bench/report.py
	$(BIN)/python bench/import_time.py

# What the report's page draws with and what the tests check it with, as npm's packages have them.
VENDOR := src/dashboard_scraper/templates/vendor
VENDOR_OF_TESTS := tests/vendor
MODULES := $(VENV)/vendor/node_modules

vendor: $(READY)
	mkdir -p $(VENV)/vendor
	cp package.json package-lock.json $(VENV)/vendor
	npm ci --prefix $(VENV)/vendor --ignore-scripts --no-audit --no-fund --silent
	cp $(MODULES)/d3/dist/d3.min.js $(MODULES)/@observablehq/plot/dist/plot.umd.min.js $(VENDOR)
	cp $(MODULES)/d3/LICENSE $(VENDOR)/LICENSE.d3
	cp $(MODULES)/@observablehq/plot/LICENSE $(VENDOR)/LICENSE.plot
	cp $(MODULES)/axe-core/axe.min.js $(VENDOR_OF_TESTS)
	cp $(MODULES)/axe-core/LICENSE $(VENDOR_OF_TESTS)/LICENSE.axe

check-vendor: vendor
	git diff --exit-code --stat -- $(VENDOR) $(VENDOR_OF_TESTS)

# The pins in the files are kept where they still satisfy pyproject.toml.
LOCK_RUNTIME = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header
LOCK_DEV = $(LOCK_RUNTIME) --extra dev --constraint requirements.txt

lock: $(READY)
	$(LOCK_RUNTIME) pyproject.toml --output-file requirements.txt
	$(LOCK_DEV) pyproject.toml --output-file requirements-dev.txt

check-lock: $(READY)
	cp requirements.txt $(VENV)/runtime.txt
	cp requirements-dev.txt $(VENV)/dev.txt
	$(LOCK_RUNTIME) pyproject.toml --output-file $(VENV)/runtime.txt
	$(LOCK_DEV) pyproject.toml --output-file $(VENV)/dev.txt
	diff -u requirements.txt $(VENV)/runtime.txt
	diff -u requirements-dev.txt $(VENV)/dev.txt

$(READY): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
