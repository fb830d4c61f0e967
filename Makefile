# What contributors run; see CONTRIBUTING.md. Every target uses the active virtual environment.

QUICK = tests/text tests/study tests/space tests/core tests/stoppers tests/reports tests/plugins tests/store \
	tests/test_architecture.py tests/test_assembly.py

.PHONY: setup quick test slow lint format bench docs ci help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: ## install the package, editable, with everything that tests and lint need
	pip install -e '.[dev]'

quick: lint ## lint, types, and the tests that start no process: the inner loop, under a minute
	pytest -q -n 2 $(QUICK)

test: ## the whole suite, without the tests that take minutes
	pytest

slow: ## the tests that take minutes
	pytest -m slow

lint: ## style, format, types
	ruff check .
	ruff format --check .
	mypy

format: ## put imports and layout right
	ruff check --fix .
	ruff format .

bench: ## overhead per trial and of commands on this machine
	python -m benchmarks.overhead all

docs: ## write the generated parts of docs/ anew
	python -m docs.generate

ci: ## all of it from nothing, in a new virtual environment
	.ci/run
