#!/usr/bin/env bash
# The Python peers that Luthier is measured against, in a virtual environment outside the repository.
# usage: tools/peers/setup.sh DIR     (needs python3, a C++ compiler for llama.cpp, about 6 GB and some minutes)
set -euo pipefail
dir=${1:?usage: tools/peers/setup.sh DIR}
[ -x "$dir/bin/python" ] || python3 -m venv "$dir"
"$dir/bin/pip" install torch==2.15.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 gguf==0.19.0 \
    scikit-build-core cmake ninja
# No wheel of llama-cpp-python lies in the package index: it is compiled for this machine.
PATH="$dir/bin:$PATH" CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_CURL=OFF" \
    "$dir/bin/pip" install --no-build-isolation llama-cpp-python==0.3.36
