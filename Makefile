# make demo   set everything up, then record, train, infer and report with the embedded simulator
# make test   set everything up, then lint, type-check and run the tests

# The first interpreter of these that runs and is 3.11 or 3.12, for which the lock file and the carla wheel are (a version
# manager's shim may exist and not run).
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH_STAMP := $(VENV)/.torch-installed

.PHONY: demo test slow lint setup lock clean

demo: setup
	$(BIN)/carlaseg demo

test: setup $(TORCH_STAMP) lint
	$(BIN)/python -m pytest -m "not slow"

slow: setup $(TORCH_STAMP)
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(STAMP)

$(STAMP): requirements/lock.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "carlaseg needs Python 3.11 or 3.12 on the PATH; set PYTHON=/path/to/python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# PyTorch is a test peer only (the same model file runs on three backends); docs/decisions says why it is not in the lock.
$(TORCH_STAMP): requirements/torch.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

# Resolve the dependencies anew (needs uv on the PATH); the result names no index.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade -o requirements/lock.txt
