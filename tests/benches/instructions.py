#!/usr/bin/env python3
"""Compares how many instructions konductor's own code takes with the figures in instructions.json.

    tests/benches/instructions.py [--update]

Valgrind's callgrind counts them, so it does not matter how busy the machine is: a pipeline of 1,000 stages is compiled,
and decisions are made. The programs are built as tests are, which CI has done before. More than 5 % above a figure
fails; --update writes what is counted. Does nothing, and says so, without valgrind, and on processors for which there
are no figures.
"""

import concurrent.futures
import json
import os
import platform
import re
import shutil
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FIGURES = os.path.join(ROOT, "tests/benches/instructions.json")
TOLERANCE = 0.05
# What is counted: the bench, and its words for much and for little. The difference is without the start of the program
# and what it prepares. Decisions on one Job are small; the others look at 1,000 objects each.
COUNTED = {
    "a pipeline of 1,000 stages is compiled": ("stages", "--once compile 1000", "--once compile 1"),
    "10,000 decisions on a Job": ("decisions", "--only job 10000", "--only job 0"),
    "1,000 Jobs are read and decided on": ("decisions", "--only job-read 1000", "--only job-read 0"),
    "10 decisions on a Gate with 1,000 conditions": ("decisions", "--only gate 10", "--only gate 0"),
    "10 decisions on a Semaphore with 1,000 in its queue": ("decisions", "--only semaphore 10", "--only semaphore 0"),
    "10 decisions on a Run with 1,000 Jobs": ("decisions", "--only run 10", "--only run 0"),
}


def programs():
    """Builds the benches as tests are built, so that nothing that they use is built twice; their paths by name."""
    command = ["cargo", "test", "--workspace", "--locked", "--no-run", "--bench", "stages", "--bench", "decisions",
               "--message-format", "json"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    artifacts = (one for one in messages if one["reason"] == "compiler-artifact" and one["executable"])
    return {one["target"]["name"]: one["executable"] for one in artifacts if "bench" in one["target"]["kind"]}


def instructions(program, words):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, *words.split()]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    collected = re.search(r"Collected : (\d+)", ended.stderr)
    if ended.returncode != 0 or not collected:
        sys.exit(f"{' '.join(command)} failed:\n{ended.stderr}")
    return int(collected.group(1))


def main():
    update = sys.argv[1:] == ["--update"]
    if sys.argv[1:] and not update:
        sys.exit("usage: tests/benches/instructions.py [--update]")
    figures = {}
    if os.path.exists(FIGURES):
        with open(FIGURES, encoding="utf-8") as file:
            figures = json.load(file)
    about = {"processor": platform.machine(),
             "rustc": subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()}
    if not shutil.which("valgrind"):
        print("valgrind is not installed; instructions are not counted")
        return
    if not update and figures.get("processor") != about["processor"]:
        print(f"instructions.json is of {figures.get('processor')}; instructions are not compared on {about['processor']}")
        return
    built = programs()
    runs = [(built[bench], words) for bench, *both in COUNTED.values() for words in both]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as at_once:
        counted = iter(at_once.map(lambda run: instructions(*run), runs))
    counts, more = {}, []
    for what in COUNTED:
        counts[what] = next(counted) - next(counted)
        known = figures.get("instructions", {}).get(what)
        change = counts[what] / known - 1 if known else 0
        print(f"{what}: {counts[what] / 1e6:,.1f} million instructions" + (f", {change:+.1%}" if known else ""))
        if not known or change > TOLERANCE:
            more.append(what)
    if update:
        with open(FIGURES, "w", encoding="utf-8") as file:
            json.dump({**about, "instructions": counts}, file, indent=2)
            file.write("\n")
    elif more:
        sys.exit(f"more instructions than instructions.json has, or no figure there: {'; '.join(more)}\n"
                 f"  help: make it cheaper, or accept it by `tests/benches/instructions.py --update` and commit the figures\n"
                 f"  note: they are of {figures.get('rustc')}, and this is {about['rustc']}")


if __name__ == "__main__":
    main()
