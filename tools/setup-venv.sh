#!/usr/bin/env bash
# The Python reference that the golden fixtures come from, versions pinned, in a virtual environment outside the repository.
# usage: tools/setup-venv.sh DIR     (needs python3.11 and about 6 GB)
set -euo pipefail
dir=${1:?usage: tools/setup-venv.sh DIR}
python3.11 -m venv "$dir"
"$dir/bin/pip" install torch==2.5.1 transformers==4.46.3 peft==0.13.2 accelerate==1.1.1 tokenizers==0.20.3 \
    safetensors==0.8.0 numpy==2.1.3 gguf==0.19.0
