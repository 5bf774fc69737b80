# make repro      the whole study: environment, `dvc repro`
# make test       the tests
# make label      what labelling needs (ingest, crop), then the page to label crops in
# make captions   what reviewing needs (up to the captions), then the page to review them in
# All may be called again at any time; they do only what is left to do.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked

export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: repro test label captions

repro: $(LOCKED)
	@echo "repro: dvc repro (profile: $$(sed -n 's/^profile: *//p' params.yaml))"
	@dvc repro
	@echo "repro: done; open reports/report.html"

test: $(LOCKED)
	@echo "test: ruff, mypy, pytest"
	@ruff check .
	@ruff format --check .
	@mypy
	@pytest

label: $(LOCKED)
	@dvc repro crop
	@python -m survey_app.researcher label

captions: $(LOCKED)
	@dvc repro caption
	@python -m survey_app.researcher captions

$(LOCKED): requirements.lock
	@echo "environment: installing requirements.lock into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	@touch $@
