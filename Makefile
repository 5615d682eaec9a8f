# The two commands of this project. Each makes its own virtual environment first, with Python 3.11 or later.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: benchmark benchmark-full test fuzz lint types speed simulations sample clean help

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 18

benchmark: $(READY)  ## a whole benchmark in minutes: results/quick/leaderboard.md
	$(BIN)/evenhand run --suite quick

benchmark-full: $(READY)  ## every task and family, hours: results/full/leaderboard.md
	$(BIN)/evenhand run --suite full

test: lint types  ## lint, types and all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

fuzz: $(READY)  ## 2,000 malformed files and folders: each is read, or refused in one line
	$(BIN)/python tests/fuzz.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

simulations: $(READY)  ## equal entries, the table of docs/statistics.md, in half an hour; the inspection of 200 clean tables
	$(BIN)/python tests/simulations/significance.py
	$(BIN)/python tests/simulations_inspection.py 200

speed: $(READY)  ## the speed figures, as tables, in a quarter of an hour (bank data: EVENHAND_DATA)
	$(BIN)/python tests/speed/search.py
	$(BIN)/python tests/speed/networks.py 2
	$(BIN)/python tests/speed/run.py
	$(BIN)/python tests/speed/report.py --whole
	$(BIN)/python tests/speed/serve.py
	$(BIN)/python tests/speed/inspection.py

sample: $(READY)  ## make the committed sample run again
	rm -rf results/sample
	$(BIN)/evenhand run --task telco_churn_quarter --family logistic_regression --family xgb --family dense_network \
		--strategy none --strategy class_weight --strategy smote --strategy adasyn --strategy smote_tomek \
		--trials 3 --folds 3 --out results/sample

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14) and "evenhand needs Python 3.11 to 3.13: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cpu,boosting,deploy,test]'
	touch $(READY)

clean:  ## forget the virtual environment (results and data stay)
	rm -rf $(VENV)
