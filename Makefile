# Needs GNU make 3.81 or newer, a POSIX shell, and Python 3.10 or newer with its modules venv and pip.
#
#   make course                                     set up, run the notebooks on a generated category, summary
#   make course DATA=../mvtec_ad CATEGORY=bottle    the same on your own or real images
#   make help                                       everything else

ifneq ($(firstword $(sort 3.81 $(MAKE_VERSION))),3.81)
$(error GNU make 3.81 or newer is needed, found $(MAKE_VERSION): install it (your package manager, conda), or do \
without: python3 -m venv .venv; .venv/bin/pip install -e .; .venv/bin/hw3 run)
endif
ifneq ($(words $(CURDIR)),1)
$(error The path of this checkout has a space in it, which make cannot work with: $(CURDIR). Move the checkout)
endif

CATEGORY = synthetic/bottle
PROFILE = quick
DATA =
ARGS =
# The Python to make the environment with; empty: the first one found that is new enough.
PYTHON ?=
# Processes that test at once.
JOBS = 2
# Empty: PyTorch from the ordinary registry. cpu (or cu126, ...): from PyTorch's own index of that name.
TORCH =
VENV = .venv

# Recipes take these from the environment, so that spaces and quotes in them are left alone.
export CATEGORY PROFILE DATA PYTHON TORCH VENV

RUN = $(VENV)/bin/python
KIND = $(if $(TORCH),-$(TORCH))
READY = $(VENV)/.installed$(KIND)
READY_DEV = $(VENV)/.installed-dev$(KIND)
DEFAULT_CATEGORY = synthetic/bottle

.PHONY: course test lint format coverage docs bench notebooks setup doctor clean help
.DELETE_ON_ERROR:
.NOTPARALLEL:

course: $(READY)
	$(RUN) -m hw3lib.cli.main run --category "$$CATEGORY" --profile "$$PROFILE" $${DATA:+--data "$$DATA"} $(ARGS)

test: lint
	$(RUN) -m hw3lib.cli.main data get $(DEFAULT_CATEGORY)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile $(ARGS)
	@set -- notebooks/[0-9]*.ipynb; if [ ! -e "$$1" ]; then echo "no notebooks to validate"; exit 0; fi; \
	set -x; HW3_HEADLESS=1 OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadscope \
	--nbval-lax --nbval-current-env --nbval-cell-timeout=900 "$$@"

lint: $(READY_DEV)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m mypy --platform win32 --cache-dir .mypy_cache/win32

format: $(READY_DEV)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# How much of hw3lib the tests reach, line by line, in build/coverage.
coverage: $(READY_DEV)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile --cov=hw3lib --cov-report=term:skip-covered \
	--cov-report=html:build/coverage $(ARGS)

docs: $(READY_DEV)
	$(RUN) -m pdoc --output-directory build/api --docformat google hw3lib

bench: $(READY_DEV)
	$(RUN) -m benchmarks $(ARGS)

notebooks: $(READY_DEV)
	$(RUN) -m hw3lib.course.build $(ARGS)
	$(RUN) docs/notebook_table.py

setup: $(READY)

doctor: $(READY)
	$(RUN) -m hw3lib.cli.main doctor --category "$$CATEGORY" $${DATA:+--data "$$DATA"}

clean:
	rm -rf .venv build hw3lib.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find hw3lib tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@echo "make course     set up, make or find the category, execute the notebooks, print the summary"
	@echo "make test       set up, then ruff, mypy, pytest and nbval; JOBS=2 processes at once"
	@echo "make lint       ruff and mypy alone; make format repairs what it can"
	@echo "make coverage   the tests again, and what they do not reach; make docs: the reference in build/api"
	@echo "make notebooks  execute notebooks/sources into notebooks/"
	@echo "make bench      the timings in benchmarks/"
	@echo "make setup      only the environment in $(VENV); make doctor examines it"
	@echo "make clean      remove the environment and caches; data/ and runs/ stay"
	@echo ""
	@echo "Variables: CATEGORY=$(CATEGORY)  PROFILE=quick|full  DATA=folder that holds categories"
	@echo "           PYTHON=/path/to/python3  TORCH=cpu (PyTorch's smaller CPU build)  ARGS=more options"

# A stamp is written when an installation has come to its end, so one that was interrupted is repeated; and a stamp is
# worth nothing when the environment's Python does not start any more (an upgraded or moved one).
ifneq ($(shell $(RUN) -c "print('starts')" 2>/dev/null),starts)
.PHONY: $(READY) $(READY_DEV)
endif

$(READY): pyproject.toml
	@$(make_environment)
	@$(install_torch)
	$(RUN) -m pip install --disable-pip-version-check -e .
	@touch $@

$(READY_DEV): pyproject.toml
	@$(make_environment)
	@$(install_torch)
	$(RUN) -m pip install --disable-pip-version-check -e ".[dev]"
	@touch $@ $(READY)

# Finds a Python that is new enough and has venv and pip (pyenv leaves names behind that do not start; some systems
# split venv off), and makes the environment unless there is one that works.
define make_environment
set -eu; \
if $(RUN) -c 'import pip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then exit 0; fi; \
found=; \
set -- python3.13 python3.12 python3.11 python3.10 python3 python; \
if [ -n "$$PYTHON" ]; then set -- "$$PYTHON"; fi; \
for python in "$$@"; do \
    version=`"$$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null` || continue; \
    place=`command -v "$$python"`; \
    if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then \
        found="$${found:-Python 3.10 or newer is needed, found $$version at $$place: install a newer one (python.org,\
 your package manager, conda or pyenv), or name one: make PYTHON=/path/to/python3.12}"; \
    elif ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
        short=$${version%.*}; \
        found="The module venv (with ensurepip, which brings pip) is missing in Python $$version at $$place:\
 install it (Debian and Ubuntu: apt install python$$short-venv), or name another: make PYTHON=/path/to/python3.12"; \
    else \
        echo "making $$VENV with Python $$version at $$place"; \
        "$$python" -m venv --clear "$$VENV"; \
        exit 0; \
    fi; \
done; \
echo "$${found:-Python 3.10 or newer is needed, and none was found$${PYTHON:+ at $$PYTHON}: install it (python.org,\
 your package manager, conda or pyenv), or name one: make PYTHON=/path/to/python3.12}" >&2; \
exit 1
endef

define install_torch
set -eu; \
if [ -z "$$TORCH" ]; then exit 0; fi; \
sed -n 's/^ *"\(torch[a-z]*[<>=][^"]*\)",*$$/\1/p' pyproject.toml > "$$VENV/torch.txt"; \
echo "installing PyTorch from https://download.pytorch.org/whl/$$TORCH"; \
$(RUN) -m pip install --disable-pip-version-check -r "$$VENV/torch.txt" --index-url "https://download.pytorch.org/whl/$$TORCH"
endef
