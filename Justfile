# What there is to run; CI runs nothing else.

python := ".venv/bin/python"

# Tests and lint
default: test lint

# Everything needed to work on it
install:
    python3 -m venv .venv
    .venv/bin/pip install -q -r requirements/dev.txt
    .venv/bin/pip install -q --no-deps -e .

# The locks, after a change of dependencies; needs uv
lock:
    python3 requirements/lock.py

# All tests
test *arguments:
    .venv/bin/pytest {{arguments}}

# Tests that need no server, in seconds
unit:
    .venv/bin/pytest tests/unit

# Whole incidents
story:
    .venv/bin/pytest tests/stories

# All together what else is dealt out: pages on phone and desk, in each language, with script
# and without; every test on both databases; most examples. Give a folder, or run all of it
every-way *arguments:
    TOCSIN_EVERY_WAY=1 .venv/bin/pytest {{arguments}}

# Real processes, really killed
faults:
    .venv/bin/pytest tests/faults

# 10,000 notices through a Postfix that misbehaves, the sender killed 100 times
reliability *arguments:
    PYTHONPATH=tests {{python}} -P -m faults.campaign {{arguments}}

# Engine and guard killed 200 times at each of OpenBao, CFSSL and openssl ca
kills *arguments:
    PYTHONPATH=tests {{python}} -P -m faults.revocation {{arguments}}

# Troubles of the last hours before a deadline, at real CAs
troubles *arguments:
    PYTHONPATH=tests {{python}} -P -m faults.troubles {{arguments}}

# Style, types, import contracts
lint:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/mypy
    .venv/bin/lint-imports

# Write code the way it is written here
format:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

# Measure one thing: import, notices, revocation, memory, demo, csr, portal
bench name:
    {{python}} benchmarks/run.py {{name}}

# Put what was measured into the README
table:
    {{python}} benchmarks/run.py table

# The replay
demo *arguments:
    .venv/bin/tocsin demo {{arguments}}

# What CI runs
ci:
    .ci/run
