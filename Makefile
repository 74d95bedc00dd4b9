# Everything sets itself up: the first target makes .venv from the lock file.
# Another interpreter: make PYTHON=python3.12 ...; an environment of your own: make VENV=/path ...

VENV ?= .venv
HADOOP ?= .hadoop
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
SEEDS ?= 10000
CI_SEEDS ?= 1500
JOURNAL_SEEDS ?= 10000
FUZZ ?= 30
FUZZ_SEED ?= 0
CHAOS ?= 300
SEED ?= 1
COMPILED ?= .compiled
DOCS := docs/COVERAGE.md

export HDFSD_HADOOP_LIB ?= $(abspath $(HADOOP)/lib)

.PHONY: help setup check test sim sim-part sim-journal sim-pairs fuzz chaos interop compiled test-compiled bench bench-journal demo docs lock clean

help:
	@echo "make demo     a cluster on this machine, its active NameNode killed, the file read back"
	@echo "make test     all tests but those that need Java"
	@echo "make check    format, lint, types, imports, style, unit tests: under a minute"
	@echo "make sim      SEEDS=$(SEEDS) seeds of the simulator: a whole cluster, all causes of failovers"
	@echo "make sim-part     CI_SEEDS=$(CI_SEEDS) of them"
	@echo "make sim-journal  JOURNAL_SEEDS=$(JOURNAL_SEEDS) seeds: journals and duelling writers alone"
	@echo "make sim-pairs    a fault at every call of a journal's life, then at every pair of calls"
	@echo "make fuzz     FUZZ=$(FUZZ) seconds each: edits and journal requests, guided by coverage"
	@echo "make chaos    CHAOS=$(CHAOS) seconds of clients against a nemesis drawn by SEED=$(SEED)"
	@echo "make interop  tests against Apache Hadoop itself (downloads its jars, needs Java)"
	@echo "make compiled the cores as machine code in $(COMPILED): PYTHONPATH=$(COMPILED) hdfsd ..."
	@echo "make bench    hdfsd and Apache Hadoop on this machine, as ratios (BENCH=--quick: one round)"
	@echo "make bench-journal  the JournalNodes of both alone, under the same writers"
	@echo "make docs     the generated pages under docs/"

setup: $(READY)

$(READY): requirements.lock pyproject.toml hatch_build.py $(shell find proto -name '*.proto')
	scripts/make-venv $(VENV)
	@touch $@

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q -n auto tests/style tests/unit

test: $(READY)
	scripts/need /usr/share/zookeeper/bin/zkServer.sh zookeeper "tests of failover through ZooKeeper"
	scripts/need /usr/sbin/sshd openssh-server "tests of fencing through ssh"
	scripts/need fuser psmisc "tests of fencing through ssh"
	scripts/need nc netcat-openbsd "tests of fencing through ssh"
	scripts/need ip iproute2 "tests of cut networks"
	$(PYTEST) -n auto --dist loadfile -m "not interop and not chaos" tests

sim: $(READY)
	$(BIN)/hdfsd sim --seeds $(SEEDS)

sim-part: $(READY)
	$(BIN)/hdfsd sim --seeds $(CI_SEEDS)

sim-journal: $(READY)
	$(BIN)/hdfsd sim --world journal --seeds $(JOURNAL_SEEDS)

sim-pairs: $(READY)
	$(BIN)/hdfsd sim --pairs

fuzz: $(READY)
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ) --seed $(FUZZ_SEED)

chaos: $(READY)
	scripts/need /usr/share/zookeeper/bin/zkServer.sh zookeeper "chaos"
	scripts/need ip iproute2 "chaos"
	CHAOS=$(CHAOS) SEED=$(SEED) PLANT=$(PLANT) $(PYTEST) -n 0 -m chaos --log-cli-level=INFO tests/chaos

interop: $(READY) $(HADOOP)/lib/.complete
	scripts/need java default-jre-headless "Apache Hadoop"
	$(PYTEST) -n auto --dist loadfile -m interop tests

compiled: $(COMPILED)/.ready

$(COMPILED)/.ready: $(READY) hatch_build.py pyproject.toml $(shell find src -name '*.py')
	scripts/need cc gcc "compiled cores"
	$(BIN)/python scripts/has_headers.py || scripts/need - python3-dev "compiled cores"
	rm -rf $(COMPILED)
	HDFSD_COMPILED=1 $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps \
	  --no-build-isolation --target $(COMPILED) .
	@touch $@

test-compiled: $(COMPILED)/.ready
	HDFSD_COMPILED=1 PYTHONPATH=$(abspath $(COMPILED)) $(PYTEST) -q -n auto tests/style/test_compiled.py \
	  $(addprefix tests/unit/,base wire editlog namespace blocks image rpc namenode standby) tests/golden

$(HADOOP)/lib/.complete: tests/interop/pom.xml
	scripts/need java default-jre-headless "Apache Hadoop"
	scripts/need mvn maven "the download of Apache Hadoop's jars"
	mvn -q -B -f tests/interop/pom.xml dependency:copy-dependencies \
	  -DoutputDirectory=$(abspath $(HADOOP)/lib)
	@touch $@

bench: $(COMPILED)/.ready $(HADOOP)/lib/.complete
	PYTHONPATH=$(abspath $(COMPILED)):tests/interop $(BIN)/python bench/run.py $(BENCH)

bench-journal: $(READY) $(HADOOP)/lib/.complete
	PYTHONPATH=tests/interop $(BIN)/python bench/journal.py $(BENCH)

demo: $(READY)
	$(BIN)/python scripts/demo.py

docs: $(READY)
	mkdir -p docs
	$(BIN)/python scripts/coverage.py > $(DOCS)

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url \
	  --universal --python-version 3.11 --custom-compile-command "make lock" -q -o requirements.lock

clean:
	rm -rf $(VENV) $(HADOOP) .mypy_cache .pytest_cache .ruff_cache .hypothesis
