# Commands for developers; `just` lists them. Each is one line that also works without just.

python := justfile_directory() / ".venv/bin/python"

_list:
    @just --list --unsorted

# all tests, with the 20 slowest; arguments are pytest's
test *arguments:
    ./webui.sh test {{arguments}}

# the unit tests alone, in less than a minute on two idle cores: no browser, no processes, nothing of tests/conftest.py's SLOW
quick *arguments:
    {{python}} -m pytest -m "not e2e and not process and not slow" --ignore tests/e2e --ignore tests/contract {{arguments}}

# the contract with every combination instead of each two
cross *arguments:
    CROSS=all {{python}} -m pytest tests/contract {{arguments}}

# formats the Python, mends what ruff can mend, and lints Python and JavaScript
lint:
    {{python}} -m ruff format .
    {{python}} -m ruff check --fix .
    ./webui.sh check javascript

# type checks: pyright for Python, deno for JavaScript
types:
    ./webui.sh check types javascript

# runs what the documents show
docs:
    {{python}} -m pytest tests/test_docs.py
