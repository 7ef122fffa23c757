"""A child process, its seconds and its greatest memory."""

import os
import subprocess
import sys
import tempfile
import time


class Failed(Exception):
    """A program that did not end well; holds the end of what it said."""


def run(command, threads):
    """Runs a command; gives its stdout, the seconds it took and its largest resident set in bytes (as the system counts it)."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    command = [str(part) for part in command]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True)
        text = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if child.returncode != 0:
            raise Failed(f"{' '.join(command)} ended with {child.returncode}: {errors.read()[-600:].strip()}")
    # Linux counts in KiB, macOS in bytes.
    scale = 1 if sys.platform == "darwin" else 1024
    return text, seconds, usage.ru_maxrss * scale
