#!/usr/bin/env bash
# The Python of the calculator: SevenNet with its weights, torch and ase, nothing of mixpi.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m venv sevennet
# torch first and alone: this version has a build without gigabytes of CUDA
sevennet/bin/pip install -q --disable-pip-version-check torch==2.13.0
sevennet/bin/pip install -q --disable-pip-version-check torch==2.13.0 sevenn
sevennet/bin/python -c "import sevenn, ase; print('SevenNet', sevenn.__version__, 'with ase', ase.__version__)"
