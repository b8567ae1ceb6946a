# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every target does its own set-up; see "make help". scripts/stages.py says what each stage of the tests runs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Ansible refuses to work in any other encoding, and a fresh machine often has no locale at all.
export LC_ALL := C.UTF-8

STAGES := lint types unit sanity bases integration faults molecule end-to-end coverage
FLEET := python3 tests/fleet/fleet.py
PYTHON := .venv/bin/python

.PHONY: help setup quickstart quickstart-clean test $(STAGES) benchmark comparison build clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z -]*:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: setup ## Boot two database hosts, roll out, let the timers back up, wreck a database, bring it back
	@$(PYTHON) tests/quickstart/quickstart.py

quickstart-clean: ## End the quickstart's hosts and remove what is left of them
	@$(FLEET) down --fleet quickstart
	@rm -rf .build/quickstart

test: setup ## Run all stages below, side by side where that pays
	@$(PYTHON) scripts/stages.py

lint: setup ## ruff, black, yamllint, bandit, shellcheck, ansible-lint
types: setup ## mypy --strict on the engine
unit: setup ## Unit tests
sanity: setup ## ansible-test sanity on the built collection
bases: setup ## Base roots of the test hosts, once for all stages that boot hosts
integration: setup ## The engine against real servers, on bookworm, trixie and sid
faults: setup ## Servers, clients, disks and the engine itself killed, filled, damaged; on bookworm and sid
molecule: setup ## The roles on real hosts; one of them with ROLE=schedule
end-to-end: setup ## From site.yml to a restored database, on bookworm, trixie and sid
coverage: setup ## What unit and integration tests have covered, and whether that is enough
$(STAGES):
	@$(PYTHON) scripts/stages.py $@$(if $(ROLE),-$(ROLE))

benchmark: setup ## Measure ours and others': SIZE=1G RUNS=5 HOST=trixie, all optional; see tests/benchmark/README.md
	@$(PYTHON) tests/benchmark/benchmark.py $(if $(SIZE),--size=$(SIZE)) $(if $(RUNS),--runs=$(RUNS)) \
	  $(if $(HOST),--host=$(HOST)) $(if $(DBMS),--dbms=$(DBMS)) $(if $(PARTS),--parts=$(PARTS)) \
	  $(if $(MANY),--many=$(MANY)) $(if $(ONLY),--only="$(ONLY)") $(if $(PACKAGES),--packages=$(PACKAGES))

comparison: setup ## The same faults done to other tools and to ours; README=1 puts the tables into README.md
	@scripts/setup.sh comparison
	@$(PYTHON) tests/comparison/comparison.py $(if $(HOST),--host=$(HOST)) $(if $(ONLY),--only="$(ONLY)") \
	  $(if $(TOOL),--tool="$(TOOL)") $(if $(README),--readme)

setup: ## Packages, Python environment and wheels that the other targets need
	@scripts/setup.sh

build: setup ## Build the collection's artifact into dist/
	@.venv/bin/ansible-galaxy collection build --force --output-path dist

clean: quickstart-clean ## Remove the quickstart, what killed runs left, and all that was made in this directory
	@$(FLEET) clean --stale
	@rm -rf .build .venv dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

distclean: clean ## The same, and all test hosts and base roots on this machine, whoever made them
	@$(FLEET) clean
