# Needs make and Python 3.11 or 3.12; everything else is installed into .venv, pinned and hashed.
#
#   make run      start everything on this machine; Ctrl-C stops it
#   make test     the whole suite, with coverage
#   make check    what .ci/run runs: format, lint, types, then the whole suite

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# What is installed is keyed on what the lock files say, not on file times.
RUNTIME := $(VENV)/.runtime-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')
INSTALLER := $(BIN)/uv
KERNELS := $(VENV)/.kernels
COLLECTED := $(VENV)/.collected
DEV := $(VENV)/.dev-$(shell cat requirements-dev.lock pyproject.toml | cksum | tr ' ' '-')
HASHED := --quiet --require-hashes --only-binary :all:
# uv takes a tenth of pip's time. It reads no configuration of pip: where packages come from a place that only pip knows, pip
# installs them.
by_lock = VIRTUAL_ENV=$(VENV) $(INSTALLER) pip install $(HASHED) -r $(1) 2>$(VENV)/uv.log \
	|| $(PIP) install --no-compile $(HASHED) -r $(1)
PYTEST := $(BIN)/python -m coverage run -m pytest
COMPILE := $(INSTALLER) pip compile --generate-hashes --universal --python-version 3.11 \
	--fork-strategy fewest --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet

# A .venv that is half made, has a Python or a pip that does not run, or was moved (its scripts name the place where they
# were made) is made anew.
SOUND := grep -qsF "$$(cd $(VENV) && pwd -P)" $(BIN)/activate && $(BIN)/python -c "import pip" 2>/dev/null
ifeq ($(shell [ ! -e $(VENV) ] || { $(SOUND); } || echo broken),broken)
.PHONY: $(BIN)/python
endif

# Packages are installed without their bytecode: what is imported leaves it behind, once. Were that forbidden by the
# environment, every process would compile all that it imports, which takes longer than its own start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run install test compiled interpreted check format lint types lock clean

run: $(KERNELS)
	@exec $(BIN)/tocsin run

install: $(KERNELS)

# fail_under is in pyproject.toml.
test:
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory --jobs=2 compiled interpreted
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report --skip-covered

check: lint types test

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(DEV)
	$(BIN)/mypy

# Groups of tests (tests/conftest.py) come in their order, with the long ones of tests/integration first; there are two
# workers more than a small machine has cores, because these wait for servers a third of their time.
compiled: $(COLLECTED) $(KERNELS)
	$(PYTEST) --numprocesses=4 --dist=loadfile --no-loadscope-reorder

# The tests of the kernels (tests/conftest.py says which) once more with numba's compiler off, so that the kernels' lines
# are seen. They run beside the others, on what these leave of the machine, which may be nothing for a while.
interpreted: $(COLLECTED)
	@NUMBA_DISABLE_JIT=1 nice -n 19 $(PYTEST) --timeout=600 -q -m 'not long' \
	  tests/unit >$(VENV)/interpreted.log 2>&1; \
	ended=$$?; echo; echo "the kernels' tests without numba's compiler:"; cat $(VENV)/interpreted.log; exit $$ended

# Only for who changes dependencies in pyproject.toml.
lock: $(INSTALLER)
	$(COMPILE) --group install -o requirements-install.lock
	$(COMPILE) pyproject.toml --extra local -o requirements.lock
	$(COMPILE) pyproject.toml --extra local --extra plot --extra dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLER): $(BIN)/python requirements-install.lock
	@$(PIP) install $(HASHED) -r requirements-install.lock
	@touch $@

$(RUNTIME): $(INSTALLER)
	@echo "installing what requirements.lock says into $(VENV) (once)"
	@$(call by_lock,requirements.lock)
	@$(PIP) install --quiet --no-index --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.runtime-* && touch $@

# Whatever changed is compiled before it runs, not by several processes at once while somebody waits for them.
$(KERNELS): $(RUNTIME) api/kernel_cache.py $(wildcard flows/*.py flows/*/*.py connectors/*.py connectors/*/*.py)
	@echo "compiling the kernels (once)"
	@$(BIN)/tocsin warm
	@touch $@

$(DEV): $(RUNTIME)
	@echo "installing what requirements-dev.lock says into $(VENV) (once)"
	@$(call by_lock,requirements-dev.lock)
	@rm -f $(VENV)/.dev-* && touch $@

# pytest rewrites the modules of tests: once, while kernels are compiled, and not in all of its workers at the same time.
$(COLLECTED): $(DEV) $(wildcard tests/*.py tests/*/*.py tests/*/*/*.py tests/*/*/*/*.py)
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1 || true
	@touch $@

# A name on the PATH may be a stub that fails when run, so each candidate is asked.
$(BIN)/python:
	@if [ -e $(VENV) ]; then echo "$(VENV) does not work here (half made, moved or damaged): making it anew"; fi
	@rm -rf $(VENV)
	@found=""; for name in $(PYTHON) python3.12 python3.11 python3 python; do \
	  if "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; \
	  then found="$$name"; break; fi; done; \
	if [ -z "$$found" ]; then \
	  echo "Tocsin needs Python 3.11 or 3.12 and found neither python3.12 nor python3.11 on the PATH" >&2; \
	  echo "(bytewax has no wheels for other versions). Install one, or name it: make PYTHON=/path/to/python3.12 run" >&2; \
	  exit 1; fi; \
	"$$found" -m venv $(VENV) || { \
	  echo "$$found cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; \
	  rm -rf $(VENV); exit 1; }
