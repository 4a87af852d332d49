# make run serves Tickertape on http://127.0.0.1:8000 (PORT, HOST, WEB_CONCURRENCY); make test proves it.
# Both install what they need the first time, and are fast after that.

BIN := .venv/bin
ENV := .venv/.installed
TEST_ENV := .venv/.installed-for-tests
PEER_ENV := build/peer/.installed
COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --no-header --python-version 3.11 --quiet

# The tests of real servers are two parts that take about as long. These files kill and restart; all else in tests/system is the other.
FAULTS := $(addprefix tests/system/test_,crash.py outages.py restart.py scale.py) tests/workflows/test_server.py
ANSWERS := tests/llm tests/market tests/workflows
STORES := tests/store tests/streams
NO_FAULTS := $(addprefix --ignore=,$(FAULTS))

# Every worker and every process of the tests loads the same modules: compiled once, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-js test-units test-stores test-answers test-servers test-faults test-browser bench eval lock clean

run: $(ENV)
	@exec $(BIN)/python -m gunicorn -c gunicorn.conf.py

# Three at a time, also on two cores: each of them waits for half of its time. The longest begin first.
test: $(TEST_ENV)
	@scripts/install-test-tools
	@$(MAKE) --no-print-directory -j3 --output-sync=target test-browser test-faults test-servers test-units test-answers test-stores test-js

test-js:
	@if command -v node >/dev/null; then node --test tests/js/*.test.mjs; fi

test-units: $(TEST_ENV)
	$(BIN)/python -m pytest -q --durations=10 tests $(addprefix --ignore=,tests/system $(ANSWERS) $(STORES))

# The database, and the logs of streams.
test-stores: $(TEST_ENV)
	$(BIN)/python -m pytest -q --durations=10 $(STORES)

# Providers, figures and workflows.
test-answers: $(TEST_ENV)
	$(BIN)/python -m pytest -q --durations=10 $(ANSWERS) $(NO_FAULTS)

# Real gunicorn processes, PostgreSQL, Redis, nginx.
test-servers: $(TEST_ENV)
	$(BIN)/python -m pytest -q --durations=10 tests/system $(NO_FAULTS)

test-faults: $(TEST_ENV)
	$(BIN)/python -m pytest -q --durations=10 $(FAULTS)

# In a process of its own: Playwright's synchronous API and gevent's patches do not go together.
test-browser: $(TEST_ENV)
	$(BIN)/python -m pytest -q tests/browser

bench: $(TEST_ENV) $(PEER_ENV)
	@for file in $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)); do \
		name=$$(basename $$file .py); echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit; done

eval: $(TEST_ENV)
	$(BIN)/python -m scripts.evaluate_detector

# After a change of requirements*.txt; the locks are what gets installed. empyrical names peewee and never imports it: it would
# have to be compiled.
lock: $(ENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --upgrade uv
	echo uv | $(COMPILE) - -o scripts/uv.lock
	$(COMPILE) requirements.txt -o requirements.lock
	echo peewee | $(COMPILE) requirements-test.txt -c requirements.lock --excludes /dev/stdin -o requirements-test.lock

clean:
	rm -rf .venv build/peer

$(BIN)/python:
	@scripts/make-venv .venv

$(ENV): requirements.lock | $(BIN)/python
	@echo "Installing what the server needs …"
	@scripts/install-lock .venv requirements.lock
	@touch $@

$(TEST_ENV): requirements-test.lock $(ENV)
	@echo "Installing what the tests need …"
	@scripts/install-lock .venv requirements-test.lock
	@touch $@

# What benchmarks/compare.py measures beside this server; nothing of it is needed to run or to test.
$(PEER_ENV): benchmarks/requirements.txt
	@scripts/make-venv build/peer
	@build/peer/bin/python -m pip install --disable-pip-version-check --quiet -r benchmarks/requirements.txt
	@touch $@
