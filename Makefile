# The few commands of this repository; CONTRIBUTING.md explains each. What takes more than a line lies in .ci/.

SHELL := /bin/bash
TARGET := $(or $(CARGO_TARGET_DIR),target)
.DEFAULT_GOAL := help
.PHONY: help setup setup-bench demo test test-unit test-sqlite bench lint docs

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: ## install what the tests need beside the Rust toolchain
	@.ci/setup.sh test

setup-bench: setup ## install what the benchmarks compare with
	@.ci/setup.sh bench

demo: ## build everything; back up, destroy and restore a database and a folder
	cargo build --workspace --lib --bins --example demo-writer
	@examples/demo.sh $(TARGET)/debug

test: setup ## everything that must hold, with the minutes of each phase
	@.ci/test.sh

test-unit: ## the quick part: unit tests and doctests
	@.ci/test.sh unit

test-sqlite: ## what concerns SQLite: the source's own tests and the end-to-end ones
	@.ci/test.sh sqlite

bench: setup-bench ## measure against other tools
	cargo build --workspace --release
	@tests/bench/run.sh $(TARGET)/release

lint: ## format, lints, dependencies
	@.ci/test.sh format clippy dependencies

docs: ## build the API documentation and check links and commands of all documents
	@.ci/test.sh docs
