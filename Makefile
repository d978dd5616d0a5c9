# Needs GNU make, a POSIX shell, and Python 3.10 or newer with venv and pip. Where uv is on PATH, uv installs instead.
CATEGORY = synthetic/bottle
PROFILE = quick
DATA =
EXTRAS =
PYTHON = python3
TORCH =
JOBS = 2
LANGUAGE =
ARGS =
export CATEGORY PROFILE DATA # recipes take them from the environment, which leaves spaces and quotes in them alone
NAMES := $(sort $(shell echo '$(EXTRAS)' | tr , ' '))
$(if $(filter-out heic kaggle onnx yolo,$(NAMES)),$(error EXTRAS=$(EXTRAS): some of heic, kaggle, onnx and yolo))
UV := $(shell command -v uv 2>/dev/null)
RUN = .venv/bin/python
PIP = $(if $(UV),uv pip install --compile-bytecode --python $(RUN),$(RUN) -m pip install)
INDEX = $(if $(UV),$(TORCH:%=--torch-backend %),$(TORCH:%=--extra-index-url https://download.pytorch.org/whl/%))
PYTEST = OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --no-loadscope-reorder --dist
# A stamp is written when an installation has come to its end, so that one that was interrupted is repeated.
READY := .venv/.installed$(subst $() ,,$(patsubst %,-%,$(NAMES) $(TORCH)))
DEV := $(READY)-dev
.PHONY: course test lint format coverage mutants docs bench notebooks setup doctor clean help

course: $(READY) # set up, make or find the category, execute the notebooks, print the summary
	$(RUN) -m hw3lib.cli run --category "$$CATEGORY" --profile "$$PROFILE" $${DATA:+--data "$$DATA"} $(LANGUAGE:%=--language %) $(ARGS)
test: lint # set up with all that tests need, then lint, pytest, and nbval on the notebooks
	$(RUN) -m hw3lib.cli data get synthetic/bottle && $(PYTEST) loadfile $(ARGS)
	HW3_HEADLESS=1 $(PYTEST) loadscope --nbval-lax --nbval-current-env --nbval-cell-timeout=900 notebooks/[0-9]*.ipynb
lint: $(DEV) # ruff, mypy, the staircase of rooms and deptry; make format repairs what ruff can
	$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) .venv/bin/lint-imports
	$(RUN) -m mypy && $(RUN) -m mypy --platform win32 --cache-dir .mypy_cache/win32
	$(RUN) -m deptry hw3lib notebooks --optional-dependencies-dev-groups heic,kaggle,onnx,yolo
	$(RUN) -m deptry hw3lib notebooks tests benchmarks docs .ci --non-dev-dependency-groups dev,docs,lint,test
format: $(DEV) ; $(RUN) -m ruff check --fix . && $(RUN) -m ruff format .
coverage: $(DEV) # which lines the tests do not reach, in build/coverage
	$(PYTEST) loadfile --cov=hw3lib --cov-report=term:skip-covered --cov-report=html:build/coverage $(ARGS)
mutants: $(DEV) # which small changes of metrics and methods no test notices; ARGS="hw3lib.classify.*" of some alone
	$(PIP) --group mutants && $(RUN) -m mutmut run --max-children $(JOBS) $(ARGS) && $(RUN) -m mutmut results
docs: $(DEV) # the site: pages, notebooks and reference in each language, in build/site
	$(RUN) docs/build.py
bench: $(DEV) # the timings in benchmarks/
	$(RUN) -m benchmarks $(ARGS)
notebooks: $(DEV) # execute notebooks/sources into notebooks/
	$(RUN) -m hw3lib.course.build $(ARGS) && $(RUN) docs/notebook_table.py
setup: $(READY) # only the environment, .venv; make doctor examines it
doctor: $(READY)
	$(RUN) -m hw3lib.cli doctor --category "$$CATEGORY" $${DATA:+--data "$$DATA"}
clean: ; rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis mutants # data/ and runs/ stay
help:
	@sed -n 's/^\([a-z]*\):.* # \(.*\)/make \1: \2/p' Makefile
	@echo 'Variables: CATEGORY=$(CATEGORY) PROFILE=quick|full DATA="folder that holds categories" ARGS="more options"'
	@echo '  EXTRAS="heic kaggle onnx yolo" PYTHON=/path/to/python3 TORCH=cpu (a smaller PyTorch) LANGUAGE=zh-TW JOBS=2'
$(DEV): ALSO = "hw3lib[heic,onnx,yolo]" --group dev
$(READY) $(DEV): pyproject.toml $(RUN)
	$(if $(UV),,$(RUN) -m pip install --quiet "pip>=25.1")
	$(PIP) -e . $(patsubst %,"hw3lib[%]",$(NAMES)) $(ALSO) $(INDEX)
	@touch $@ $(READY)
$(RUN):
	@"$(PYTHON)" -c 'import sys; sys.version_info < (3, 10) and sys.exit("Python 3.10 or newer needed: make PYTHON=...")'
	$(if $(UV),uv venv --seed --clear --python "$(PYTHON)" .venv,"$(PYTHON)" -m venv --clear .venv)
