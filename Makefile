# make run: the app. make check and make test: everything that is checked. All need only make and Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
ADDRESS ?= 127.0.0.1
PORT ?= 8501
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet
.DEFAULT_GOAL := help
.PHONY: help run check quick test bench soak shots replays

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: $(BIN)/.app ## install what is missing, start the app, print its address
	$(BIN)/streamlit run app.py --server.address $(ADDRESS) --server.port $(PORT)

check: $(BIN)/.tests ## what needs no run: lint, layout, types, layers, docstrings, citations (seconds, once warm)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tests.house.check_docstrings
	@$(BIN)/python -m pagingviz.manual.sources

quick: $(BIN)/.tests ## the tests that answer in under two minutes: no browser, no plain kernels, nothing slow
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder -m "not slow and not browser and not plain" $(ARGS)

test: $(BIN)/.tests browser ## the whole suite (under 15 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --durations=10 $(ARGS)

shots: $(BIN)/.tests browser ## accept the pictures of now; look at them before you commit
	PAGINGVIZ_ACCEPT=1 $(BIN)/python -m pytest tests/ui/test_screens.py $(ARGS)

replays: $(BIN)/.app ## record anew what is shown before the engine is compiled (minutes)
	$(BIN)/python -m pagingviz.player.early.replay

bench: $(BIN)/.tests browser ## engine speed (BASE=first-light: beside that commit), why, then the browser and thirty clients
	$(BIN)/python -m tests.bench.engine $(if $(BASE),--base $(BASE)) $(ARGS)
	$(BIN)/python -m tests.bench.why
	$(BIN)/python -m tests.bench.browser

soak: $(BIN)/.app ## long audited runs of every shipped program
	$(BIN)/python -m tests.bench.soak $(ARGS)

# A half-made environment has no .app or .tests and is completed by the next call.
$(BIN)/python:
	@PYTHON="$(PYTHON)" .ci/venv "$(VENV)"

$(BIN)/.app: requirements.txt | $(BIN)/python
	@echo "Installing the packages of requirements.txt into $(VENV) (a minute or two)."
	@$(INSTALL) -r requirements.txt
	@touch $@

# The versions of tests/constraints.txt where this Python can have them, else the newest that requirements.txt allows.
$(BIN)/.tests: tests/requirements.txt tests/constraints.txt $(BIN)/.app
	@echo "Installing the packages of tests/requirements.txt into $(VENV)."
	@$(INSTALL) -r tests/requirements.txt -c tests/constraints.txt || \
		{ echo "Without tests/constraints.txt, then: pictures may differ from the accepted ones."; \
		  $(INSTALL) -r tests/requirements.txt; }
	@touch $@

.PHONY: browser
browser:
	@.ci/browser
