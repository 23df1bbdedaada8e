# Two commands: `make demo` shows what the project does, `make test` shows that it works.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

.venv/.installed: requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -r requirements.txt -c constraints.txt
	touch $@

demo: .venv/.installed
	$(BIN)/python tools/demo.py

test: .venv/.installed
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf saved outputs .pytest_cache .ruff_cache
