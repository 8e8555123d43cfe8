# make demo: trains, exports, serves and continues a chorale, in .venv; files go to demo/.
# make test: runs all tests.   make lint: runs the linters.   make clean: removes what make made.
#
# PYTHON=python3.12 chooses the interpreter; DEMO_FLAGS=--smoke makes the demo small;
# TEST_FLAGS="-m 'not slow'" goes to pytest, which runs up to four test files at once (-n 0: one).

VENV := .venv
DEMO_FLAGS ?=
TEST_FLAGS ?=
IS_TESTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
INSTALL = quiet=; test -t 1 || quiet=--quiet; \
	$(VENV)/bin/python -m pip install $$quiet --constraint constraints.txt

.PHONY: demo test lint clean

demo: $(VENV)/.ready
	$(VENV)/bin/rnnpt demo --output_dir demo $(DEMO_FLAGS)

# A crashed worker is not replaced, since pytest-xdist 3.8 then never ends (its issue 1378): the test
# that it ran fails, the other workers finish the files that they have, and the rest is not run.
test: $(VENV)/.ready-test
	$(VENV)/bin/python -m pytest --numprocesses logical --maxprocesses 4 --max-worker-restart 0 \
		--dist loadfile $(TEST_FLAGS)

lint: $(VENV)/.ready-lint
	$(VENV)/bin/flake8
	$(VENV)/bin/isort --check-only .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

clean:
	rm -rf $(VENV) build dist demo rnnpt.egg-info

# The stamps are newer than what they were made from, so nothing is installed twice.
$(VENV)/.made:
	@for python in $(or $(PYTHON),python3 python3.11 python3.12); do \
		$$python -c "$(IS_TESTED)" 2>/dev/null || continue; \
		if ! $$python -c "import ensurepip, venv" 2>/dev/null; then \
			echo "$$python cannot make virtual environments:" \
				"on Debian and Ubuntu, apt-get install python3-venv" >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$($$python --version)"; \
		$$python -m venv --clear $(VENV) && touch $@ && exit 0; \
		exit 1; \
	done; \
	echo "rnnpt needs Python 3.11 or 3.12, and $(or $(PYTHON),python3) is neither:" \
		"install one and name it, as in make PYTHON=/path/to/python3.11" >&2; \
	exit 1

$(VENV)/.ready: $(VENV)/.made setup.cfg pyproject.toml constraints.txt
	@echo "Installing rnnpt into $(VENV): a few minutes the first time"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.ready-%: $(VENV)/.ready
	@echo "Installing what make $* needs into $(VENV)"
	@$(INSTALL) --editable '.[$*]'
	@touch $@
