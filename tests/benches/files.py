#!/usr/bin/env python3
"""What passing files costs: memory of the wrapper, throughput beside boto3 on the same S3 server, many small files, and
what the wrapper adds to a step.

    tests/benches/files.py KONCLI http://127.0.0.1:7070 [--gigabytes 5] [--files 10000] [--rounds 3]

The server has a bucket `bench` and takes the keys `id` and `keykeykey`: versitygw does, a Go module. boto3 is what `aws
s3 cp` uses. Prints a line of JSON for each figure: bytes, seconds, and for memory the highest resident set in bytes.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

BLOCK = 16 << 20
SECRETS = ["--secret", "s3.AWS_ACCESS_KEY_ID=id", "--secret", "s3.AWS_SECRET_ACCESS_KEY=keykeykey"]

PASSED = """\
pipeline passed {
  store { url = "s3://bench/runs", secret = "s3", endpoint = "ENDPOINT", region = "us-east-1" }
  stage make {
    image = "none:1"
    run = "WRITE \\"${output.it}\\"; date +%s.%N > DONE/made"
    output it: KIND
  }
  stage begun after make { image = "none:1", run = "date +%s.%N > DONE/begun" }
  stage use after begun {
    image = "none:1"
    run = "date +%s.%N > DONE/fetched; READ"
  }
}
"""

BARE = 'pipeline bare { stage only { image = "none:1", run = "true" } }\n'
WRAPPED = """\
pipeline wrapped { stage only { image = "none:1", run = ": > \\"${output.empty}\\"", output empty: file } }
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("koncli", type=Path)
    parser.add_argument("endpoint")
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--files", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    asked.koncli = asked.koncli.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        big(asked, folder)
        small(asked, folder)
        overhead(asked, folder)


def big(asked, folder):
    blob = folder / "blob"
    with blob.open("wb") as file:
        for _ in range(round(asked.gigabytes * 1e9 / BLOCK)):
            file.write(os.urandom(BLOCK))
    size = blob.stat().st_size
    ours, theirs = [], []
    for _ in range(asked.rounds):
        ours.append(passed(asked, folder, "file", f"ln {blob}", f'cmp {blob} \\"${{make.it}}\\"'))
        theirs.append(plain(asked, folder, blob))
    for way in ("upload", "download"):
        konductor = [one[way] for one in ours]
        boto3 = [one[way] for one in theirs]
        ratios = [b / k for k, b in zip(konductor, boto3)]
        say(what=way, bytes=size, konductor_s=konductor, boto3_s=boto3, speed_ratio=round(statistics.median(ratios), 2))
    say(what="memory of one file", bytes=size, highest_rss=max(one["memory"] for one in ours))


def small(asked, folder):
    files = folder / "files"
    files.mkdir()
    for n in range(asked.files):
        (files / f"{n}.txt").write_text(f"file {n}\n")
    counted = f'test $(ls \\"${{make.it}}\\" | wc -l) = {asked.files}'
    one = passed(asked, folder, "dir", f"cp -r {files}/.", counted)
    say(what="small files", files=asked.files, upload_s=one["upload"], download_s=one["download"], highest_rss=one["memory"])


def overhead(asked, folder):
    times = {"bare": [], "wrapped": []}
    for _ in range(10 * asked.rounds):
        for name, text in (("bare", BARE), ("wrapped", WRAPPED)):
            file = folder / f"{name}.kon"
            file.write_text(text)
            begun = time.monotonic()
            subprocess.run([asked.koncli, "run", file], check=True, capture_output=True)
            times[name].append(time.monotonic() - begun)
    bare, wrapped = (statistics.median(times[name]) for name in ("bare", "wrapped"))
    say(what="a step of `true`", bare_s=round(bare, 4), wrapped_s=round(wrapped, 4), added_s=round(wrapped - bare, 4))
    say(what="binary that a pod copies", bytes=asked.koncli.stat().st_size)


def passed(asked, folder, kind, write, read):
    """Runs a pipeline that passes a file or a folder; seconds of its upload and download, and the wrapper's memory.

    The upload lasts from the end of the command to the start of what comes after its Job, the download from there to
    the start of the command that reads: a little of both is the operator's.
    """
    done = folder / "done"
    done.mkdir(exist_ok=True)
    file = folder / "passed.kon"
    text = PASSED.replace("ENDPOINT", asked.endpoint).replace("DONE", str(done))
    file.write_text(text.replace("KIND", kind).replace("WRITE", write).replace("READ", read))
    command = [asked.koncli, "run", file, "--store", "s3://bench/runs", *SECRETS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    highest = {"rss": 0}
    watching = threading.Thread(target=watch, args=(process.pid, process, highest))
    watching.start()
    log, _ = process.communicate()
    watching.join()
    if process.returncode != 0:
        raise SystemExit(log)
    at = {name: float((done / name).read_text()) for name in ("made", "begun", "fetched")}
    return {
        "upload": round(at["begun"] - at["made"], 2),
        "download": round(at["fetched"] - at["begun"], 2),
        "memory": highest["rss"],
    }


def watch(parent, process, highest):
    """Asks for the peak of the wrappers' memory until koncli ends."""
    while process.poll() is None:
        for pid in children(parent):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"step" not in command[:3]:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    highest["rss"] = max(highest["rss"], int(line.split()[1]) << 10)
        time.sleep(0.05)


def children(pid):
    """All processes below one."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        below = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return below + [further for child in below for further in children(child)]


def plain(asked, folder, blob):
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=asked.endpoint,
        aws_access_key_id="id",
        aws_secret_access_key="keykeykey",
        region_name="us-east-1",
    )
    begun = time.monotonic()
    client.upload_file(str(blob), "bench", "plain")
    uploaded = time.monotonic()
    back = folder / "back"
    client.download_file("bench", "plain", str(back))
    ended = time.monotonic()
    back.unlink()
    return {"upload": round(uploaded - begun, 2), "download": round(ended - uploaded, 2)}


def say(**figures):
    print(json.dumps(figures), flush=True)


main()
