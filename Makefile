# Targets are listed by `make`. UV is found on the PATH, or installed into .uv/ from the package index.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
UV := $(shell command -v uv || echo .uv/bin/uv)
export UV_PYTHON_DOWNLOADS := never
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := true
unexport VIRTUAL_ENV

BENCHES := extraction.py phase1_epoch.py memory.py warm_retrain.py
ifdef QUICK
bench-extraction.py := --images 128 --rounds 1
bench-memory.py := --recipe demo --images 500
bench-warm_retrain.py := --recipe demo --share 0.03
bench-time_to_accuracy.py := --quick --data generated --seeds 0 --recipes plain fast
else
BENCHES += waste10.py
endif
BENCHES += time_to_accuracy.py

.PHONY: help install lock demo lint format test test-slow bench bench-serving airflow clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 12

.uv/bin/uv:
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.installed: requirements.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@[ -x .venv/bin/python ] || $(UV) venv --quiet --python '>=3.11' .venv
	@# Where Python keeps no bytecode (containers, CI), every step compiled TensorFlow anew.
	$(UV) pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python .venv/bin/python --no-deps --editable .
	@touch $@

install: .venv/.installed ## install everything that is locked into .venv

lock: | $(filter .uv/bin/uv,$(UV)) ## lock again: every extra but gpu, with hashes, without index addresses
	$(UV) pip compile --quiet --universal --python-version 3.11 --group dev \
	  --extra pipeline --extra labels --extra serving --extra airflow-postgresql \
	  --generate-hashes --no-emit-index-url --no-header --output-file requirements.lock pyproject.toml

data/.: | .venv/.installed
	@dvc checkout --quiet data.dvc 2>/dev/null || sortline generate
	@dvc add --quiet data

demo: .venv/.installed | data/. ## from nothing to a gated classifier: generated photographs, small backbone
	@sortline run --recipe demo
	@echo; echo "Four pictures of the test split, classified by the exported model:"
	@sortline predict --saved-model runs/demo/artifacts/saved_model \
	  $$(for class in battery glass paper shoes; do ls data/test/$$class/* | sed -n 7p; done)
	@echo; echo "The report: runs/demo/report.html"

airflow: .venv/.installed | data/. ## Airflow for this repository, with a first run of the demo; Ctrl-C ends it
	@exec sortline airflow up

lint: .venv/.installed ## ruff, ruff format, mypy strict, the layers
	ruff check .
	ruff format --check .
	mypy
	lint-imports

format: .venv/.installed ## let ruff rewrite what it can
	ruff check --fix .
	ruff format .

test: .venv/.installed ## every test that is not slow
	pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: .venv/.installed ## whole graphs, kills, load
	pytest -m slow --numprocesses auto --maxprocesses 2 --dist loadfile

bench: .venv/.installed | data/. ## the tables of the README; QUICK=1: minutes instead of hours
	@# A target that is missed does not keep the others from being measured.
	@missed=0; $(foreach file,$(BENCHES),python bench/$(file) $(bench-$(file)) || missed=1;) exit $$missed

bench-serving: .venv/.installed | data/. ## files for devices, and the stand-in under load: 20 minutes; `make demo` first
	@[ -f runs/demo/artifacts/saved_model/saved_model.pb ] || $(MAKE) demo
	@missed=0; python bench/edge.py || missed=1; python bench/serving.py || missed=1; exit $$missed

clean: ## remove what `make` and the graph wrote; data, the DVC cache and features stay
	rm -rf artifacts code reports runs
