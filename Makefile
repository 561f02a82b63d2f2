# make demo: install into .venv, then run the control arm and VHR on the demo model. make check: the tests to run while
# writing. make test: the tests. make test-all: also those that are marked slow, whole runs of lmms-eval most of them; CI's.
PYTHON ?= python3
# Tests run on all cores, a process each: threads that wait for each other are many times slower.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# The oldest transformers that setup.cfg admits, with what it needs, in a folder that goes in front of .venv's.
FLOOR := .floor
FLOOR_PACKAGES := transformers==5.6.0 'tokenizers>=0.22,<=0.23.0' 'huggingface_hub>=1.31,<2'
FLOOR_TESTS := $(addprefix tests/test_,host.py vhr.py session.py core_methods.py edit_points.py adapter.py demo.py)
# The newest transformers on the index, in range or not, likewise.
NEWEST := .newest
AUDIT := .audit
CONTACT_TESTS := $(addprefix tests/test_,contact.py self_check.py grounds.py host.py session.py vhr.py core_methods.py edit_points.py contract.py)
# What breaks first: rooms, contact layer, registry, scorers, pages, and all methods on one family.
QUICK_TESTS := $(addprefix tests/test_,rooms.py contact.py github.py readme.py) tests/test_registry_*.py tests/test_scoring_*.py
# lmms-eval itself exits with 0 after an error, and an older run would be compared.
RUN = $(BIN)/hallu run --model $(1) --model_args pretrained=demo --tasks hallu_demo --batch_size 16 --output_path results/$(1) --log_samples

PICTURES := hallu_models/diagnostics/pictures
DIAGNOSE = $(BIN)/hallu diagnose --image demo:9

.PHONY: demo check test test-all floor newest contract soak fuzz audit bench methods pictures lint types readme clean

demo: $(STAMP)
	$(call RUN,llava_base)
	$(call RUN,llava_vhr)
	$(BIN)/hallu compare results/llava_base results/llava_vhr --plot results/compare.png --html results/compare.html

check: $(DEV)
	$(PYTEST) -q -m "not slow" -k "not test_families or llava-" $(QUICK_TESTS) tests/test_families.py

test: $(DEV)
	$(PYTEST) -m "not slow"

test-all: $(DEV)
	$(PYTEST)

floor: $(FLOOR)/.installed
	PYTHONPATH=$(FLOOR) $(BIN)/python -c "import transformers; print('transformers', transformers.__version__)"
	PYTHONPATH=$(FLOOR) $(PYTEST) -q $(FLOOR_TESTS)

newest: $(DEV)
	rm -rf $(NEWEST)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(NEWEST) transformers
	PYTHONPATH=$(NEWEST) $(BIN)/python -c "import transformers; print('transformers', transformers.__version__)"
	PYTHONPATH=$(NEWEST) $(PYTEST) -q $(CONTACT_TESTS)

# Every check of the contract, for every method on every family.
contract: $(DEV)
	HALLU_CONTRACT=all $(PYTEST) -q -k contract tests/test_families.py

# 20,000 documents with methods put on and taken off.
soak: $(DEV)
	$(BIN)/python tests/soak.py

# Ten times the cases of the normal suite, and other ones every time.
fuzz: $(DEV)
	HALLU_FUZZ=20000 $(PYTEST) -q tests/test_fuzz.py

# Known vulnerabilities of what is installed, with pip-audit in a folder of its own.
audit: $(DEV)
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(AUDIT)/bin/pip-audit --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" --skip-editable

bench: $(DEV)
	$(BIN)/python tests/benchmarks/run.py

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

# Every method on the demo model with its shams: runs what is not there yet, and renews its page and pictures.
methods: $(DEV)
	$(BIN)/hallu sweep --model llava_base --model_args pretrained=demo --methods $$($(BIN)/python tests/methods_page.py) --controls --tasks hallu_demo --jobs 2 --output results/methods -- --batch_size 16
	$(BIN)/python tests/methods_page.py results/methods

# The pictures of the README.
pictures: $(DEV)
	for what in vhd tvhd iava liae iaf semantic flow contrast; do $(DIAGNOSE) --what $$what --output $(PICTURES)/$$what.png || exit 1; done
	$(DIAGNOSE) --what sinks --model_args pretrained=demo,beta=auto --output $(PICTURES)/sinks.png
	$(BIN)/hallu diagnose --what tvhd --task hallu_demo_chair --limit 200 --output $(PICTURES)/distribution.png

readme: $(DEV)
	$(BIN)/python tests/readme_tables.py --write

$(STAMP): setup.cfg pyproject.toml
	@echo "installing into $(VENV): about 7 GB, a few minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[plot]'
	touch $@

$(DEV): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(FLOOR)/.installed: $(DEV) Makefile
	rm -rf $(FLOOR)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(FLOOR) $(FLOOR_PACKAGES)
	touch $@

clean:
	rm -rf $(VENV) $(FLOOR) $(NEWEST) $(AUDIT) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
