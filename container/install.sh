#!/bin/sh
# Install inkshift with review and PostgreSQL into a new environment: install.sh FOLDER. Run from the root of the source.
# What it needs is fixed to the byte by container/requirements.txt; nothing else is fetched but what builds the package.
set -eu
python3 -m venv "$1"
"$1/bin/python" -m pip install --quiet --require-hashes --requirement container/requirements.txt
"$1/bin/python" -m pip install --quiet --no-deps .
"$1/bin/python" -m pip check
