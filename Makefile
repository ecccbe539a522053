# The six commands a newcomer needs. PYTHON may name any interpreter from 3.11 on.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python

.PHONY: setup demo test check docs clean

setup: $(VENV)/.ready

# One stamp: a half-finished set-up is never taken for a whole one.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedgan needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet -e '.[dev]'
	touch $@

demo: setup
	$(RUN) -m experiments.arms launcher=joblib

test: setup
	$(RUN) -m pytest -m 'not slow' -n auto --dist loadfile

check: docs
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# A broken link, a missing page or a setting without a comment fails; the pages are then in site/.
docs: setup
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(VENV)/bin/mkdocs build --strict --quiet

clean:
	rm -rf site $(VENV) .pytest_cache .mypy_cache .ruff_cache
