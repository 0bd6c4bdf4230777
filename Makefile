# Needs GNU make 3.81 or newer and a POSIX shell: Linux, macOS, WSL. Windows without make: see README.md.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.ready

CANDIDATES  = $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
VERSION     = -c 'import sys; print("%d.%d" % sys.version_info[:2])'
NEW_ENOUGH  = -c 'import sys; sys.exit(sys.version_info < (3, 11))'
# What .venv was made from. The folder belongs to it: a virtual environment does not survive a move.
FINGERPRINT = { pwd -P; cat requirements.lock pyproject.toml; }

# Two workers on two cores: more threads would only wait for each other.
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 VECLIB_MAXIMUM_THREADS=1
# Many tests start a Python of their own, which starts sooner from compiled files.
COMPILED   = PYTHONDONTWRITEBYTECODE=
WORKERS    = $$(getconf _NPROCESSORS_ONLN | awk '{ print ($$1 < 2) ? 1 : 2 }')
PYTEST     = $(ONE_THREAD) $(COMPILED) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
LINTED     = moe_lessons authoring tests

.DEFAULT_GOAL := help
.PHONY: help setup lab grade test test-fast site test-web soak notebooks bench mutants lint lock clean ready

help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Every target makes .venv itself when it is missing or out of date. PYTHON=/path/to/python3.11 names"
	@echo "another Python; ARGS=\"...\" hands further options to JupyterLab, the grader, pytest or the benchmarks."

# Asked for by name, it mends: without its stamp, .venv is gone over again.
setup: ## make .venv, the environment of the course, or mend it
	@rm -f $(STAMP)
	@$(MAKE) --no-print-directory ready
	@echo "$(VENV) is ready. Next: make lab"

lab: ready ## open JupyterLab on lesson 00 (PORT=8889 for another port)
	@$(BIN)/python authoring/environment.py lab $(if $(PORT),--port "$(PORT)") $(ARGS)

# Not into DIR itself, and under a name that git passes over: marks belong to people.
grade: ready ## mark the notebooks in a folder: make grade DIR=submissions (docs/teachers.md)
	@folder="$(DIR)"; if [ -z "$$folder" ]; then echo "Which folder? make grade DIR=submissions" >&2; exit 2; fi; \
	$(BIN)/python -m moe_lessons.grading "$$folder" -o "$(or $(OUT),$${folder%/}-marks/marks.csv)" $(ARGS)

# A notebook whose content is unchanged is not executed again; FRESH=1 executes it all the same, as .ci/run does.
test: lint ## run every test (minutes)
	@$(PYTEST) $(ARGS)

test-fast: ready ## run the tests that need neither a server nor a browser
	@$(PYTEST) -m "not slow and not browser" $(ARGS)

# Executed notebooks are those that the tests keep. Sphinx has an environment of its own, .site, with a lock of its own.
site: ready ## write the web edition to _site/html, as plain files
	@$(BIN)/python authoring/environment.py site
	@$(ONE_THREAD) $(BIN)/python authoring/web.py $(if $(REPOSITORY),--repository "$(REPOSITORY)") $(ARGS)

test-web: site ## open every page of the web edition in a browser, and audit it
	@$(PYTEST) tests/web $(ARGS)

soak: ready ## try the checks' banks with many draws, 0 to 999, wrong answers with 100 (an hour; SEEDS=7 or 30-99)
	@SEEDS=$(or $(SEEDS),0-999) $(PYTEST) tests/checks/test_banks.py $(ARGS)

notebooks: ready ## write notebooks/, exercises/ and solutions/ from authoring/
	@$(BIN)/python authoring/build.py

# The peers that the sparse layer is compared with belong to no lesson: they are installed here, and only here.
PEERS = import st_moe_pytorch, mixture_of_experts

bench: ready ## print times: imports, pictures, lessons, the layer beside its peers (ARGS=layers: 10 minutes)
	@$(BIN)/python -c "$(PEERS)" 2>/dev/null || $(BIN)/python -m pip install --quiet --no-input \
	  --disable-pip-version-check -c requirements.lock --no-build-isolation -e ".[bench]"
	@$(BIN)/python tests/benchmarks/bench.py $(ARGS)

mutants: ready ## count the small mistakes in solutions that checks catch (10 minutes; ARGS=core: in the code, tests)
	@$(ONE_THREAD) $(BIN)/python tests/mutants/run.py --jobs $(WORKERS) $(ARGS)

lint: ready ## check style and types (ruff, mypy)
	@$(BIN)/python -m ruff check --quiet $(LINTED)
	@$(BIN)/python -m ruff format --check --quiet $(LINTED) || \
	  { echo "Not formatted as ruff does it: run $(BIN)/ruff format $(LINTED)"; exit 1; }
	@$(BIN)/python -m mypy --no-error-summary

lock: ready ## choose the exact versions in requirements.lock and requirements-site.lock anew
	@$(BIN)/python authoring/lock.py

clean: ## remove .venv, caches and test output; notebooks and your progress stay
	rm -rf $(VENV) .site docs/node_modules _site build .executed *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis screenshots bench-results
	find moe_lessons authoring tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp goes first and comes back last: an interrupted installation never counts as ready.
ready:
	@if [ -x $(BIN)/python ] && $(FINGERPRINT) | cmp -s - $(STAMP) 2>/dev/null; then exit 0; fi; \
	rm -f $(STAMP); seen=""; \
	for python in $(CANDIDATES); do \
	  if "$$python" $(NEW_ENOUGH) >/dev/null 2>&1; then \
	    "$$python" authoring/environment.py setup && $(FINGERPRINT) > $(STAMP); exit; \
	  fi; \
	  version=$$("$$python" $(VERSION) 2>/dev/null) || version="not found"; \
	  seen="$$seen $$python ($$version),"; \
	done; \
	echo "The course needs Python 3.11 or newer; tried:$${seen%,}." >&2; \
	echo "Install one, or name one that is there: make setup PYTHON=/path/to/python3.11" >&2; exit 1
