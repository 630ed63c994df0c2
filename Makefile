# make book     run the chapters that are out of date and build the site into _build/html
# make test     the tests, but for the slow ones
# make test-all the slow ones, too, with coverage: processes killed, the wheel installed, chapters on a pretend
#               accelerator, every command of the pages, networks from elsewhere
# make test-cpu the tests of numbers on an imitated CPU without AVX: last bits differ between kinds of CPU
# make browser  install a browser for the tests of the site
# All but the last install what they need, into the active virtual environment or else into .venv.

PYTHON ?= python3
VENV := $(or $(VIRTUAL_ENV),.venv)
RUN := $(VENV)/bin/python
BROWSERS := chromium chromium-browser google-chrome chrome

.PHONY: book test test-all test-cpu browser

THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
SSE := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE OPENBLAS_CORETYPE=Nehalem

book: $(VENV)/.layers-book
	$(RUN) -m helpers build

test: $(VENV)/.layers-test
	$(THREAD) \
	$(RUN) -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/.layers-test
	$(THREAD) $(RUN) -m pytest -n 2 --dist loadfile --cov=helpers --cov-report=term-missing:skip-covered --cov-fail-under=90

test-cpu: $(VENV)/.layers-test
	@echo "imitated: a CPU with SSE 4 and without AVX ($(SSE))"
	@$(THREAD) $(SSE) $(RUN) -m pytest -n 2 --dist loadfile -m "not book and not slow"

browser:
	@if command -v $(BROWSERS) >/dev/null; then echo "there is a browser already"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update && apt-get install -y --no-install-recommends chromium; \
	else echo "install Chromium by your system's means, for instance: sudo apt-get install chromium"; exit 1; fi

$(RUN):
	$(PYTHON) -m venv $(VENV)

# The stamps say what was installed last: only a change of the requirements installs again.
$(VENV)/.layers-book: requirements.txt pyproject.toml | $(RUN)
	$(RUN) -m pip install -r requirements.txt
	$(RUN) -m pip install --no-deps --editable .
	@touch $@

$(VENV)/.layers-test: requirements-dev.txt $(VENV)/.layers-book
	$(RUN) -m pip install -r requirements-dev.txt
	@touch $@
