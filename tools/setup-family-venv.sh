#!/usr/bin/env bash
# The newer Python reference that fixtures/families comes from, versions pinned, in a virtual environment outside the repository.
# usage: tools/setup-family-venv.sh DIR     (needs python3.11 and about 6 GB)
set -euo pipefail
dir=${1:?usage: tools/setup-family-venv.sh DIR}
python3.11 -m venv "$dir"
"$dir/bin/pip" install torch==2.15.0 transformers==4.57.1 safetensors==0.8.0 numpy==2.1.3
