#!/usr/bin/env python3
"""Resident memory of an operator that starts on a cluster with many Jobs.

    tests/benches/memory.py SERVER-KONCLI OPERATOR-KONCLI [JOBS]

The server is the embedded one of the first koncli; the operator is a process of the second, so that two
versions are compared on the same objects. Each Job looks like one that kubectl has applied: a container
with an environment, managed fields, and the last applied configuration.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from hostile import Api, answers, until, usage


def job(index):
    env = [{"name": f"VARIABLE_{n}", "value": "a value of some length " * 3} for n in range(12)]
    container = {"name": "main", "image": "registry.example/team/program:1.2.3", "env": env,
                 "command": ["program", "--input", "/data/in", "--output", "/data/out"],
                 "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
                 "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container],
                         "volumes": [{"name": "data", "emptyDir": {}}]}}
    made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"job-{index}"},
            "spec": {"suspend": True, "template": template}}
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    made["metadata"]["annotations"] = {applied: json.dumps(made)}
    return made


def main():
    server, operator = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = os.path.join(folder, "kubeconfig")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        dev = subprocess.Popen([server, "dev", "--write-kubeconfig", kubeconfig], **quiet)
        try:
            until(lambda: os.path.exists(kubeconfig) and os.path.getsize(kubeconfig))
            api = Api(kubeconfig)
            for index in range(count):
                api.create("default", "jobs", job(index))
            port = 20_000 + os.getpid() % 20_000
            one = subprocess.Popen([operator, "operator", "--leader-elect=false", "--kubeconfig",
                                    kubeconfig, "--listen", f"127.0.0.1:{port}"], **quiet)
            try:
                until(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
                time.sleep(5)
                now, most, _ = usage(one.pid)
                print(f"{count} Jobs: {now} MiB resident, {most} MiB at most")
            finally:
                one.send_signal(signal.SIGTERM)
                one.wait()
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait()


if __name__ == "__main__":
    main()
