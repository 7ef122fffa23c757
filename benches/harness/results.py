"""The file of results: one JSON line a run."""

import json
import subprocess
import time

from . import process


class Results:
    """What was measured so far; appends as it goes."""

    def __init__(self, path):
        self.path = path
        self.lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def add(self, **line):
        self.lines.append(line)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def of(self, what, **named):
        return [line for line in self.lines if line["what"] == what and all(line.get(key) == value for key, value in named.items())]

    def once(self, what, case, side, pair, measure):
        """Measures, unless this run stands in the file. A program that fails is noted, and asked again the next time."""
        named = {"case": case, "side": side, "pair": pair}
        if any("failed" not in line for line in self.of(what, **named)):
            return
        print(f"{what} {case}: {side}, run {pair}", flush=True)
        try:
            self.add(what=what, **named, **measure())
        except process.Failed as failed:
            print(f"  {failed}", flush=True)
            self.add(what=what, **named, failed=str(failed))

    def machine(self, arguments):
        """Notes the machine and its rates as `luthier doctor` measures them, before and after the runs."""
        text, _, _ = process.run([arguments.target / "luthier", "doctor", "--json"], arguments.threads)
        commit = subprocess.run(["git", "-C", arguments.root, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
        self.add(what="machine", date=time.strftime("%Y-%m-%d"), commit=commit, **json.loads(text))
