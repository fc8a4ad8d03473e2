"""A cluster for the tests: `koncli dev`, or one that already exists."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from konductor._config import Config, load
from konductor.testing import Dev, koncli

#: How long anything that must happen may take.
WITHIN = 20.0

Json = dict[str, Any]
_count = itertools.count(1)


class Cluster:
    """A cluster, with every right."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.config: Config = load(kubeconfig)
        self.token = asyncio.run(self.config.credentials.get()).token
        self._context = self.config.tls(None) if self.config.server.startswith("https") else None
        self._folder = tempfile.TemporaryDirectory(prefix="konductor-tests-")

    def request(
        self, method: str, path: str, body: Json | None = None, content: str = "application/json"
    ) -> Any:
        """Sends a request; its answer can be read."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.config.server + path, data=data, method=method)
        request.add_header("Content-Type", content)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )
        return opener.open(request, timeout=60)

    def call(
        self, method: str, path: str, body: Json | None = None, content: str = "application/json"
    ) -> Json:
        with self.request(method, path, body, content) as response:
            found: Json = json.load(response)
            return found

    def namespace(self, prefix: str = "py") -> str:
        """Creates a namespace."""
        name = f"{prefix}-{os.getpid()}-{next(_count)}"
        self.call(
            "POST",
            "/api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        )
        return name

    def resource(self, namespace: str, resource: str) -> str:
        return f"/apis/konductor.io/v1/namespaces/{namespace}/{resource}"

    def create(self, namespace: str, kind: str, name: str, spec: Json) -> None:
        """Creates an object of konductor.io/v1."""
        body = {
            "apiVersion": "konductor.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        self.call("POST", self.resource(namespace, kind.lower() + "s"), body)

    def objects(self, namespace: str, resource: str) -> list[Json]:
        items: list[Json] = self.call("GET", self.resource(namespace, resource))["items"]
        return items

    def patch(self, namespace: str, target: str, change: Json) -> None:
        kind, _, name = target.partition("/")
        path = f"{self.resource(namespace, kind + 's')}/{name}"
        if "status" in change:
            path += "/status"
        self.call("PATCH", path, change, "application/merge-patch+json")

    def delete(self, namespace: str, target: str) -> None:
        kind, _, name = target.partition("/")
        self.call("DELETE", f"{self.resource(namespace, kind + 's')}/{name}")

    def observe(self, namespace: str, resource: str, what: str, enough: Callable[[list[Json]], bool]) -> None:
        """Waits until the objects of a resource are as they should be: a list, then a watch."""
        deadline = time.monotonic() + WITHIN
        while True:
            found = self.call("GET", self.resource(namespace, resource))
            if enough(found["items"]):
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{resource}: not within {WITHIN} s that {what}: {found['items']}")
            version = found["metadata"]["resourceVersion"]
            query = f"?watch=1&resourceVersion={version}&timeoutSeconds={max(int(left), 1)}"
            with self.request("GET", self.resource(namespace, resource) + query) as changes:
                changes.readline()

    def close(self) -> None:
        self._folder.cleanup()

    def kubeconfig_of(self, namespace: str, server: str | None = None) -> Path:
        """Writes a kubeconfig of a namespace, for this cluster or a proxy before it."""
        found = json.loads(self.kubeconfig.read_text())
        context = next(one["context"] for one in found["contexts"] if one["name"] == found["current-context"])
        context["namespace"] = namespace
        if server:
            for one in found["clusters"]:
                one["cluster"] = {"server": server}
            for one in found["users"]:
                one["user"] = {}
        path = Path(self._folder.name) / f"kubeconfig-{next(_count)}"
        path.write_text(json.dumps(found))
        return path

    @contextmanager
    def operator(self, namespace: str) -> Iterator[None]:
        """Runs an operator for one namespace."""
        arguments = ["--leader-elect=false", "--watch-namespace", namespace]
        process = subprocess.Popen(
            [koncli(), "operator", *arguments, "--kubeconfig", str(self.kubeconfig)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


class Clusters:
    """The cluster with the operator, and one without, which is started when it is needed."""

    def __init__(self) -> None:
        self._running: list[Dev | Cluster] = []
        self._lock = threading.Lock()
        self._bare: Cluster | None = None
        self.cluster = self._open("KUBECONFIG")

    def _open(self, variable: str, *options: str) -> Cluster:
        if os.environ.get("KONDUCTOR_TEST_CLUSTER") == "external":
            # It may be YAML: the tests write others of it.
            import yaml

            text = yaml.safe_load(Path(os.environ[variable]).read_text())
            path = Path(tempfile.mkdtemp(prefix="konductor-tests-")) / "kubeconfig"
            path.write_text(json.dumps(text))
        else:
            running = Dev(*options)
            self._running.append(running)
            path = running.kubeconfig
        cluster = Cluster(path)
        self._running.insert(0, cluster)
        return cluster

    def bare(self) -> Cluster:
        with self._lock:
            if self._bare is None:
                self._bare = self._open("KONDUCTOR_TEST_BARE_KUBECONFIG", "--no-operator")
            return self._bare

    def close(self) -> None:
        for one in self._running:
            one.close()
