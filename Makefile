PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
TELEGRAM = examples/telegram
EXTRAS = study,keras,pp-ocr,trust,review,postgres,parquet,cluster,stores,imagenet,dev

.PHONY: help demo test test-slow test-lowest test-search fuzz lint bench-read bench-study bench-peers bench-teach bench-trust bench-reliability bench-review bench-scale bench-wild wheel lock sbom site docs readme clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## read the bundled forms: the readings, how many are right, a page with every crop
	@mkdir -p out
	@$(BIN)/inkshift read $(TELEGRAM)/scan-*.jpg --template $(TELEGRAM)/template.json \
		--out out/demo.csv --report out/demo.html
	@$(BIN)/python examples/show_readings.py out/demo.csv
	@$(BIN)/inkshift evaluate out/demo.csv $(TELEGRAM)/labels.csv
	@echo "every crop beside its reading: $(CURDIR)/out/demo.html"

test: lint ## lint, types, layers and the tests
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: $(VENV)/.test ## the slow tests only
	$(BIN)/pytest -m slow

test-lowest: .venv-release/.ready ## the tests with the oldest versions that pyproject.toml allows
	.venv-release/bin/uv venv --quiet --clear --python $(PYTHON) .venv-lowest
	VIRTUAL_ENV=.venv-lowest .venv-release/bin/uv pip install --quiet --resolution lowest-direct --editable '.[$(EXTRAS)]'
	.venv-lowest/bin/pytest -n 2 --dist loadfile -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning

test-search: $(VENV)/.test ## the tests of properties, on examples not tried before
	$(BIN)/pytest -n 2 --dist loadfile --hypothesis-profile search

fuzz: $(VENV)/.test ## 10,000 spoiled files of every kind, each with a command that takes it
	$(BIN)/python tests/fuzz.py --count 10000 --keep out/fuzz

lint: $(VENV)/.test ## ruff, mypy and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file benchmarks/mypy.ini benchmarks/*.py
	$(BIN)/lint-imports

bench-read: $(VENV)/.test ## accuracy and speed of reading on the sets in $INKSHIFT_DATA
	$(BIN)/python benchmarks/bench_read.py --out docs/results/reading.md
	$(BIN)/python benchmarks/steps.py --out docs/results/steps.md

bench-study: $(VENV)/.test ## speed of studies against the recipe that people script, on the same work
	$(BIN)/python benchmarks/study.py --out docs/results/study-speed.md

bench-peers: $(VENV)/.test .venv-peers/.ready ## our readers and others on the same numbers; apt-get install tesseract-ocr for all rows
	$(BIN)/python benchmarks/peers.py --errors --gallery --out docs/results/peers.md

bench-teach: $(VENV)/.test ## the number recogniser taught on half of the cheque amounts, tested on the other half
	$(BIN)/python benchmarks/teaching.py --out docs/results/teaching.md

bench-trust: $(VENV)/.test ## how far readings can be trusted: promises, rules, forecasts, label audit
	$(BIN)/python benchmarks/trust_promise.py --out docs/results/trust-promise.md
	$(BIN)/python benchmarks/trust_joint.py --out docs/results/trust-joint.md
	$(BIN)/python benchmarks/trust_shift.py --out docs/results/trust-shift.md
	$(BIN)/python benchmarks/trust_audit.py --out docs/results/trust-audit.md

bench-reliability: $(VENV)/.test ## promises in every world, spoiled files, killed runs, sums in rings
	$(BIN)/python benchmarks/reliability.py --out docs/results/reliability.md

bench-review: $(VENV)/.test ## how long keyers wait: typing in a browser, decisions over HTTP on SQLite and PostgreSQL
	$(BIN)/python benchmarks/review.py --out docs/results/review.md

bench-scale: $(VENV)/.test ## what handing out pages costs, how many machines that carries, a store of a million fields
	$(BIN)/python benchmarks/scale.py --out docs/results/scale.md

bench-wild: $(VENV)/.test ## 2,000 pages in every situation: right, refused or wrong; the default beside the published method
	@mkdir -p out
	$(BIN)/python benchmarks/wild.py --pictures out/wild --journal out/wild.jsonl --out docs/results/wild.md
	$(BIN)/python benchmarks/wild_published.py --out docs/results/wild-published.md

wheel: $(VENV)/.demo ## the package as it is published, in dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

lock: .venv-release/.ready ## choose anew what the container installs: every package by its version and hash
	.venv-release/bin/uv pip compile pyproject.toml --extra review --extra postgres --extra parquet --python-version 3.11 \
		--generate-hashes --upgrade --quiet --custom-compile-command "make lock" --output-file container/requirements.txt

sbom: .venv-release/.ready ## what the container installs as a bill of materials (CycloneDX), and its known weaknesses
	@mkdir -p dist
	.venv-release/bin/cyclonedx-py requirements container/requirements.txt --output-reproducible --output-file dist/sbom.json
	.venv-release/bin/pip-audit --require-hashes --disable-pip --requirement container/requirements.txt

site: $(VENV)/.test ## the pages as a site, in dist/site; fails at a link that leads nowhere
	$(BIN)/python -m sphinx -q -W --keep-going -c docs/site . dist/site

docs: $(VENV)/.demo ## write the pages in docs/ that follow from the program
	$(BIN)/python docs/generate.py

readme: $(VENV)/.demo ## put what `make demo` and `make bench-read` printed into README.md
	$(BIN)/python docs/readme.py

clean: ## remove what the other targets made
	rm -rf .venv .venv-* out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Stamps: what is installed stays until pyproject.toml changes.
$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

# The readers that `make bench-peers` measures ours against, apart from ours.
.venv-peers/.ready:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check rapidocr==3.10.0 onnxruntime
	@touch $@

# The tools of a release, apart from what is released.
.venv-release/.ready:
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --disable-pip-version-check uv cyclonedx-bom pip-audit
	@touch $@
