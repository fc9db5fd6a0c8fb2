# make run: the app. make test: everything that is checked. Both need only make and Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
ADDRESS ?= 127.0.0.1
PORT ?= 8501
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet
.DEFAULT_GOAL := help
.PHONY: help run test bench soak shots lint

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: $(BIN)/.app ## install what is missing, start the app, print its address
	$(BIN)/streamlit run app.py --server.address $(ADDRESS) --server.port $(PORT)

test: $(BIN)/.tests browser ## the whole suite (under 15 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --durations=10 $(ARGS)

shots: $(BIN)/.tests browser ## accept the pictures of now; look at them before you commit
	PAGINGVIZ_ACCEPT=1 $(BIN)/python -m pytest tests/test_screens.py $(ARGS)

bench: $(BIN)/.tests browser ## engine speed (BASE=first-light: beside that commit), then the browser and thirty clients
	$(BIN)/python tests/bench_engine.py $(if $(BASE),--base $(BASE)) $(ARGS)
	$(BIN)/python tests/bench_browser.py

soak: $(BIN)/.app ## long audited runs of every shipped program
	$(BIN)/python tests/soak.py $(ARGS)

lint: $(BIN)/.tests ## ruff
	$(BIN)/ruff check .

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
