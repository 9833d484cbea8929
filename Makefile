# Every target makes .venv and installs what it needs first.
PYTHON ?= python3
PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install demo pipeline viewer test test-system soak fuzz lint bench docs graph sbom clean

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name it with make PYTHON=python3.11 ..." >&2; exit 2; }
	@# Debian's Python may come without venv: virtualenv, fetched into a folder of its own, does the same.
	@test -x $(PY) || $(PYTHON) -m venv .venv 2>/dev/null || { rm -rf .venv && \
		$(PYTHON) -m pip install --quiet --target .venv-bootstrap virtualenv && \
		PYTHONPATH=.venv-bootstrap $(PYTHON) -m virtualenv --quiet .venv; }
	@echo "Installing ctxai and what it needs into .venv (once; some minutes and about 6 GB)"
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: .venv/installed

# The whole pipeline on a synthetic cohort; look into ./demo-out afterwards.
demo: .venv/installed
	.venv/bin/ctxai demo --out demo-out

# The stages as one resumable workflow on a small synthetic cohort; the same on a cluster: pipelines/README.md.
pipeline: .venv/installed
	.venv/bin/snakemake --snakefile pipelines/Snakefile --workflow-profile pipelines/profiles/local

# What `ctxai review` opens studies in: Orthanc (Debian packages) and OHIF (into ./.viewer).
viewer:
	@ctxai/viewer/install.sh .viewer
	@echo "Installed. Look at a result of ctxai explain with: .venv/bin/ctxai review OUT"

# Two processes; the tests of a file stay in one, because they share what is costly to make.
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

# What needs pip alone.
test: .venv/installed
	$(PY) -m pytest -m "not system and not soak" $(PARALLEL)

# What needs Debian packages or servers.
test-system: .venv/installed
	tests/system/install
	$(PY) -m pytest -m "system and not soak" $(PARALLEL)

# The long ones: many kills, on SLURM too, and long fuzzing.
soak: .venv/installed
	tests/system/install
	$(PY) -m pytest -m soak
	$(MAKE) fuzz

# Every reader of foreign bytes, an hour and five minutes in all; findings are kept in ./fuzz-out.
FUZZ_SECONDS := 300
fuzz: .venv/installed
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[fuzz]'
	$(PY) tests/faults/fuzz.py $(FUZZ_SECONDS) fuzz-out

lint: .venv/installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports

# Ratios against peers, measured in the same run: every script that needs no data of yours; docs/benchmarks.md has the others.
BENCH := cost explain explain_memory export ingest metrics open scale startup train
bench: .venv/installed
	@for name in $(BENCH); do echo "== benchmarks/$$name.py"; $(PY) benchmarks/$$name.py || exit 1; done

# The documentation as a site that needs no network.
docs: .venv/installed
	$(PY) -m sphinx -W --keep-going -q docs build/docs
	@echo "Open build/docs/index.html in a browser"

# The drawing in docs/architecture.md; needs Graphviz (Debian package graphviz).
graph: .venv/installed
	$(PY) docs/import_graph.py

# What is installed in .venv, as CycloneDX; the tool stays outside of it.
sbom: .venv/installed
	$(PYTHON) -m pip install --quiet --upgrade --target build/sbom-tool cyclonedx-bom==7.5.0
	PYTHONPATH=build/sbom-tool $(PYTHON) -m cyclonedx_py environment $(PY) --pyproject pyproject.toml \
		--output-reproducible --output-format JSON --output-file build/sbom.json
	@echo "Wrote build/sbom.json"

clean:
	rm -rf .venv .venv-bootstrap .viewer demo-out dist
