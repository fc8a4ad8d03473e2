#!/usr/bin/env python3
"""How long Claims in one namespace wait for their grant while another namespace is full of hostile objects.

    tests/benches/hostile.py KONCLI [OBJECTS] [GRANTS]

One process of KONCLI serves the API, another is the operator. In the namespace `hostile` there are, of OBJECTS
(10,000 by default):

* 1 in 20: Jobs that name 9,000 Jobs in `konductor.io/inputs`, 200 KiB each;
* 8 in 20: Claims with holders of 253 characters, in the queue of one Semaphore with one permit;
* 6 in 20: Arrivals at one Barrier that expects more;
* 5 in 20: Gates with 64 conditions on objects that don't exist.

Somebody changes them all the time, 50 a second. In the namespace `bystander` Claims on a Semaphore are created one
after another, and each is watched until it is granted: first without the hostile namespace, then with it. Prints a
row of a table for each; the processor time and the memory are the operator's.
"""

import json
import os
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

INPUTS = 9_000
CHANGES_A_SECOND = 50
KONDUCTOR = "konductor.io/v1"


def hostile(index):
    """The object with this number: its plural, and what it is."""
    meta = {"name": f"x-{index}"}
    place = index % 20
    if place == 0:
        inputs = {f"A{n}": f"job-{n}/value" for n in range(INPUTS)}
        meta["annotations"] = {"konductor.io/inputs": json.dumps(inputs, separators=(",", ":"))}
        pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
        return "jobs", {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta,
                        "spec": {"suspend": True, "template": {"spec": pod}}}
    if place < 9:
        target = {"kind": "Semaphore", "name": "s"}
        holder = f"h{index}-".ljust(253, "h")
        return "claims", {"apiVersion": KONDUCTOR, "kind": "Claim", "metadata": meta,
                          "spec": {"target": target, "holder": holder}}
    if place < 15:
        return "arrivals", {"apiVersion": KONDUCTOR, "kind": "Arrival", "metadata": meta,
                            "spec": {"barrier": "b", "holder": f"h{index}"}}
    conditions = [{"type": "Job", "name": f"none-{n}", "state": "Complete"} for n in range(64)]
    return "gates", {"apiVersion": KONDUCTOR, "kind": "Gate", "metadata": meta,
                     "spec": {"conditions": conditions}}


class Api:
    """The API server of a kubeconfig that `koncli dev` has written."""

    def __init__(self, kubeconfig):
        with open(kubeconfig) as file:
            config = json.load(file)
        self.url = config["clusters"][0]["cluster"]["server"]
        self.token = config["users"][0]["user"]["token"]
        # On loopback, by a certificate of its own.
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def open(self, method, path, body=None, media="application/json"):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": media}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        return urllib.request.urlopen(request, context=self.tls)

    def create(self, namespace, plural, body):
        self.open("POST", path(namespace, plural), body).read()


def path(namespace, plural):
    group = "batch" if plural == "jobs" else "konductor.io"
    return f"/apis/{group}/v1/namespaces/{namespace}/{plural}"


def granted(api, index):
    """Creates a Claim, and returns after how many seconds it is granted."""
    name = f"c-{index}"
    claims = path("bystander", "claims")
    claim = {"apiVersion": KONDUCTOR, "kind": "Claim", "metadata": {"name": name},
             "spec": {"target": {"kind": "Semaphore", "name": "s"}, "holder": name}}
    begun = time.monotonic()
    made = json.load(api.open("POST", claims, claim))
    version = made["metadata"]["resourceVersion"]
    watch = f"{claims}?watch=true&fieldSelector=metadata.name%3D{name}&resourceVersion={version}"
    with api.open("GET", watch) as events:
        for line in events:
            phase = json.loads(line)["object"].get("status", {}).get("phase")
            if phase == "Granted":
                break
    took = time.monotonic() - begun
    api.open("DELETE", f"{claims}/{name}", {}).read()
    return took


def usage(pid):
    """Resident memory now and at most, in MiB, and seconds of processor time."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    with open(f"/proc/{pid}/stat") as stat:
        times = stat.read().rsplit(")", 1)[1].split()[11:13]
    seconds = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return int(fields["VmRSS"].split()[0]) // 1024, int(fields["VmHWM"].split()[0]) // 1024, seconds


def decisions(port):
    """How often the operator has decided on an object."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    lines = (line for line in text.splitlines() if line.startswith("controller_runtime_reconcile_total"))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def change(api, count, stop):
    """Changes hostile objects one after another until told to stop."""
    index = 0
    while not stop.is_set():
        plural, body = hostile(index % count)
        patch = {"metadata": {"annotations": {"changed": str(index)}}}
        api.open("PATCH", f"{path('hostile', plural)}/{body['metadata']['name']}", patch,
                 "application/merge-patch+json").read()
        index += 1
        stop.wait(1 / CHANGES_A_SECOND)


def measure(api, grants, first, pid, port, what):
    before, sent, begun = usage(pid)[2], decisions(port), time.monotonic()
    took = sorted(granted(api, first + index) * 1000 for index in range(grants))
    lasted = time.monotonic() - begun
    now, most, seconds = usage(pid)
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
    print(f"| {what} | {statistics.median(took):.0f} ms | {p99:.0f} ms | {took[-1]:.0f} ms "
          f"| {now} MiB ({most} at most) | {(seconds - before) / lasted * 100:.0f} % "
          f"| {(decisions(port) - sent) / lasted:.0f} |", flush=True)


def until(what, seconds=300):
    for _ in range(seconds * 10):
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit("it takes too long")


def answers(url):
    try:
        return urllib.request.urlopen(url).status == 200
    except OSError:
        return False


def main():
    koncli = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    grants = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = os.path.join(folder, "kubeconfig")
        dev = subprocess.Popen([koncli, "dev", "--no-operator", "--write-kubeconfig", kubeconfig], **quiet)
        started = [dev]
        try:
            until(lambda: os.path.exists(kubeconfig) and os.path.getsize(kubeconfig))
            api = Api(kubeconfig)
            port = 20_000 + os.getpid() % 20_000
            operator = subprocess.Popen([koncli, "operator", "--leader-elect=false", "--kubeconfig",
                                         kubeconfig, "--listen", f"127.0.0.1:{port}"], **quiet)
            started.append(operator)
            until(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
            for namespace, permits in [("bystander", 5), ("hostile", 1)]:
                semaphore = {"apiVersion": KONDUCTOR, "kind": "Semaphore", "metadata": {"name": "s"},
                             "spec": {"permits": permits}}
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
                api.open("POST", "/api/v1/namespaces", body).read()
                api.create(namespace, "semaphores", semaphore)
            barrier = {"apiVersion": KONDUCTOR, "kind": "Barrier", "metadata": {"name": "b"},
                       "spec": {"expected": 10_000}}
            api.create("hostile", "barriers", barrier)
            print("| | p50 | p99 | longest | memory | processor | decisions a second |\n"
                  "|---|--:|--:|--:|--:|--:|--:|", flush=True)
            measure(api, grants, 0, operator.pid, port, "no other objects")
            begun, sent = time.monotonic(), decisions(port)
            for index in range(count):
                api.create("hostile", *hostile(index))
            took = time.monotonic() - begun
            print(f"{count} hostile objects were created in {took:.0f} s; the operator made "
                  f"{decisions(port) - sent:.0f} decisions", file=sys.stderr, flush=True)
            measure(api, grants, grants, operator.pid, port, f"{count:,} hostile objects")
            stop = threading.Event()
            changing = threading.Thread(target=change, args=(api, count, stop))
            changing.start()
            try:
                measure(api, grants, 2 * grants, operator.pid, port,
                        f"the same, and {CHANGES_A_SECOND} changes a second")
            finally:
                stop.set()
                changing.join()
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGINT)
                process.wait()


if __name__ == "__main__":
    main()
