# Every target says what it does: make help.
.DEFAULT_GOAL := help
PYTHON ?= python3
# Runs a command in the environment that constraints.txt pins; makes that when it is missing.
RUN := $(PYTHON) -m tests.environment run

# Two processes share the files of tests: while one waits for a node that boots, the other works.
WORKERS ?= 2

.PHONY: help test check test-kernel test-kernel-debug fuzz-kernel lint docs bench bench-kernel bench-planner bench-agent bench-control bench-placement bench-install lab lab-down demo clean

help: ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

test: check lint ## lint, set up all it needs, then run every test but those marked long; as root on Debian 12 or 13
	@echo "==> the lab: what it needs from Debian, kernels, Kubernetes, images"
	$(PYTHON) -m tests.lab build
	@echo "==> tests, by $(WORKERS) processes"
	$(RUN) pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 40

# Before anything takes time: the reason why the lab cannot run here, if there is one.
check:
	@$(PYTHON) -m tests.lab check

test-kernel: ## the system call's own tests, a short fuzz and the manual page, in patched nodes
	$(RUN) pytest tests/vm/test_selftests.py tests/unit/kernel/test_man_page.py tests/unit/kernel/test_selftests_patch.py

test-kernel-debug: ## the same tests under KASAN and lockdep, with allocations that fail; log in docs/benchmarks
	$(PYTHON) -m tests.selftests --kernel debug --log docs/benchmarks/selftests-debug.log run

# Hours on the debug kernel; KERNEL=patched is faster and looks less closely.
CALLS ?= 10000000
KERNEL ?= debug
SEED ?= 1
fuzz-kernel: ## CALLS random calls (ten million) in a node of KERNEL (debug), from SEED (1) on
	$(PYTHON) -m tests.selftests --kernel $(KERNEL) fuzz --calls $(CALLS) --seed $(SEED)

lint: ## lint, formatting, types, and who may import whom
	@echo "==> lint, formatting, types, imports"
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports --no-logo

docs: ## build the documentation's site, dist/docs/index.html
	$(RUN) python3 -m sphinx -W --keep-going -q -b html docs dist/docs
	@echo "dist/docs/index.html"

bench: ## measure all that is not in dist/bench yet, and write the report there; as root; BENCH=--quick: ten minutes
	$(RUN) python3 -m tests.bench $(BENCH)

bench-kernel: ## measure the system call, and write docs/benchmarks/kernel.json and what is drawn from it
	$(RUN) python3 -m tests.bench kernel --again --into docs/benchmarks

bench-planner: ## measure the planner, and write docs/benchmarks/planner.json and what is made from it
	$(RUN) python3 -m tests.bench planner --again --into docs/benchmarks

bench-agent: ## measure what the agent costs, and write docs/benchmarks/agent.json and what is made from it
	$(RUN) python3 -m tests.bench agent --again --into docs/benchmarks

bench-control: ## measure operator and agents against an API server, and write docs/benchmarks/control.json
	$(RUN) python3 -m tests.bench control --again --into docs/benchmarks

bench-placement: ## play the workloads and arms that are missing in docs/benchmarks/placement.jsonl, and write the report
	$(RUN) python3 -m tests.bench placement --into docs/benchmarks

bench-install: ## measure the memory, CPU and image sizes of what is installed, and write docs/benchmarks/install.json
	$(RUN) python3 -m tests.bench install --again --into docs/benchmarks

lab: ## start a cluster with a CXL node and print the kubectl line to use
	$(PYTHON) -m tests.lab cluster up --nodes patched,stock,dram

lab-down: ## end that cluster
	$(PYTHON) -m tests.lab cluster down

demo: ## redis beside a batch job on nodes with CXL memory, before and after a policy; the cluster stays up
	$(RUN) python3 -m tests.demo

clean: ## remove what tools left in this checkout; built parts stay in the cache
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
