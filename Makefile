# Two commands on a fresh machine: `make demo` and `make test`. Needs Python 3.11 or later and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The template is copied by `tracecore plugins new`, never installed.
PLUGINS := $(sort $(filter-out plugins/_template/pyproject.toml,$(wildcard plugins/*/pyproject.toml)))
export TRACECORE_HOME ?= $(CURDIR)/.tracecore

.PHONY: setup demo test ui serve lint docs fixtures bench soak clean
setup: $(VENV)/.ready

# torch first and alone: nothing later may pull another build of it with gigabytes of CUDA.
$(VENV)/.installed: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("tracecore needs Python 3.11 or later, this is %s" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python pip_steps.py "[1/3] torch (CPU)" torch==2.13.0 -c constraints.txt
	@$(BIN)/python pip_steps.py "[2/3] build tools" hatchling editables -c constraints.txt
	@touch $@

$(VENV)/.ready: $(VENV)/.installed pyproject.toml $(PLUGINS)
	@$(BIN)/python pip_steps.py "[3/3] tracecore and its plugins" --no-build-isolation -c constraints.txt -e ".[dagster,graphql,postgres,dev]" $(foreach p,$(PLUGINS),-e ./$(dir $(p)))
	@touch $@

demo: setup
	$(BIN)/tracecore build demo --program reference --approver demo
	$(BIN)/tracecore trace build/demo
	@printf '%s\n' '' 'build/demo is sealed. What to open next:' \
	  "  make ui      the assets, checks, curves and pictures on Dagster's page" \
	  '  make serve   the audit server: its trace by GraphQL' \
	  '  $(BIN)/tracecore look event_set/reference.kpis.events --workspace $(TRACECORE_HOME)      the mistakes, drawn' \
	  '  $(BIN)/tracecore query --tables --workspace $(TRACECORE_HOME)      the tables that SQL can query' \
	  '  $(BIN)/tracecore verify build/demo --workspace $(TRACECORE_HOME)' \
	  '  docs/loop.md the whole loop, step by step' \
	  '  $(BIN)/tracecore build NAME --program recorded --drives PATH --labels PATH --approver WHO      a build of your own drives'

# Where memory can hold what tests write, nothing of it goes to a disk: they sync all the time, and nobody needs what they wrote.
IN_MEMORY = $(shell df -Pk /dev/shm 2>/dev/null | awk 'END { if ($$4 > 8000000) print "TMPDIR=/dev/shm" }')

# A file at a time for each worker, so that what its tests share is made once; in the order of the folders, which puts the longest first.
test: setup
	$(IN_MEMORY) $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

ui: setup
	$(BIN)/tracecore ui

serve: setup
	$(BIN)/tracecore serve

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy tracecore schemas/tracecore_schemas lineage/tracecore_lineage assets/tracecore_assets graphql/tracecore_graphql $(wildcard plugins/*/tracecore_*)
	$(BIN)/lint-imports --no-cache
	$(BIN)/typos
	$(BIN)/pytest -q -n 0 tests/docs/test_prose.py

# Reference pages and pictures, from the code.
docs: setup
	$(BIN)/python docs/reference/references.py
	$(BIN)/python docs/pictures.py packages architecture

# The fixture whose formats are still a draft; tests/fixtures/README.md says which that is.
fixtures: setup
	$(BIN)/python tests/fixtures/make.py draft

bench: setup
	$(BIN)/python -m benchmarks

# Every attack in full takes hours; each goes on where the last time stopped.
soak: setup
	for name in $$($(BIN)/python -m soaks | cut -d' ' -f1); do $(BIN)/python -m soaks $$name || exit 1; done

clean:
	rm -rf $(VENV) .tracecore .pytest_cache .mypy_cache .ruff_cache
