"""A proxy between a client and the API server, which makes the faults of a network and a server."""

from __future__ import annotations

import http.client
import json
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .kube import WITHIN, Cluster

_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
_POISON = (
    b'"metadata":{"managedFields":[{"time":"10000-01-01T00:00:00Z","fieldsV1":'
    + b'{"f:a":' * 150
    + b"{}"
    + b"}" * 150
    + b"}],"
)


@dataclass(eq=False)
class Fault:
    """What becomes of requests of a verb on a resource; ``times`` 0 is until it is mended."""

    verb: str
    resource: str
    times: int = 0
    code: int = 0
    hang: bool = False
    poison: bool = False
    lose_answer: bool = False
    oldest: int = 0
    seen: int = 0
    mended: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """A proxy on loopback; its clients need no credentials."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._changed = threading.Condition()
        self._faults: list[Fault] = []
        self._requests: list[str] = []
        self.managers: list[str | None] = []
        self._open: set[socket.socket] = set()
        self._watches: set[socket.socket] = set()
        #: How many connections were open at most.
        self.most = 0
        # It never listens: it keeps the port from others while the proxy is down.
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        self._server: _Server | None = None
        self.up()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port.getsockname()[1]}"

    def up(self) -> None:
        """Accepts connections, at the same address as before."""
        server = _Server(self._port.getsockname(), _Handler)
        server.proxy = self
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        """Breaks all connections and refuses new ones, as an API server that restarts."""
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()
        with self._changed:
            for one in self._open:
                _break(one)

    def close(self) -> None:
        self.down()
        self._port.close()

    def cut_watches(self) -> None:
        with self._changed:
            for one in self._watches:
                _break(one)

    def begin(self, fault: Fault) -> Fault:
        with self._changed:
            self._faults.append(fault)
        return fault

    def mend(self, fault: Fault) -> None:
        with self._changed:
            if fault in self._faults:
                self._faults.remove(fault)
        fault.mended.set()

    def requests(self) -> list[str]:
        with self._changed:
            return list(self._requests)

    def wait_for(self, request: str, times: int) -> None:
        """Waits until so many requests have arrived, for watches until the answer has begun."""
        with self._changed:
            enough = self._changed.wait_for(lambda: self._requests.count(request) >= times, WITHIN)
            assert enough, f"{request!r} not {times} times; there were {self._requests}"

    def note(self, request: str) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def fault(self, verb: str, resource: str, version: str) -> Fault | None:
        """Finds the fault of a request, which is used up by it."""
        with self._changed:
            for one in self._faults:
                if (one.verb, one.resource) != (verb, resource):
                    continue
                if one.oldest and not (version.isdigit() and int(version) < one.oldest):
                    continue
                one.seen += 1
                if one.seen == one.times:
                    self._faults.remove(one)
                return one
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    allow_reuse_address = True
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self._proxy = self.server.proxy
        with self._proxy._changed:
            self._proxy._open.add(self.connection)
            self._proxy.most = max(self._proxy.most, len(self._proxy._open))
        # It may have been accepted at the moment at which the server went down.
        if self._proxy._server is not self.server:
            _break(self.connection)

    def finish(self) -> None:
        with self._proxy._changed:
            self._proxy._open.discard(self.connection)
            self._proxy._watches.discard(self.connection)
        super().finish()

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        self._upstream: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        try:
            self._serve()
        finally:
            if self._response:
                self._response.close()
            if self._upstream:
                self._upstream.close()

    def _serve(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        verb, resource = _named(self.command, url.path, query)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        if verb in ("create", "patch"):
            self._proxy.managers.append(query.get("fieldManager"))
        fault = self._proxy.fault(verb, resource, query.get("resourceVersion", ""))
        request = f"{verb} {resource}"
        if verb != "watch" or fault:
            self._proxy.note(request)
        if fault and fault.hang:
            self._hang(fault)
        elif fault and (fault.oldest or (fault.code == 410 and verb == "watch")):
            self._answer(200, {"type": "ERROR", "object": _status(410)})
        elif fault and fault.code:
            self._answer(fault.code, _status(fault.code))
        elif fault and fault.lose_answer:
            self._forward(body).read()
            self._abort()
        elif verb == "watch":
            self._watch(request, body, bool(fault and fault.poison), bool(fault))
        else:
            response = self._forward(body)
            content = response.read()
            if fault and fault.poison:
                content = content.replace(b'"metadata":{', _POISON, 1)
            self._send(response.status, response.headers.get("Content-Type", ""), content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815

    def _forward(self, body: bytes | None) -> http.client.HTTPResponse:
        cluster = self._proxy._cluster
        target = urlsplit(cluster.config.server)
        upstream: http.client.HTTPConnection
        if target.scheme == "https":
            context = cluster._context
            upstream = http.client.HTTPSConnection(target.netloc, timeout=60, context=context)
        else:
            upstream = http.client.HTTPConnection(target.netloc, timeout=60)
        headers = {"Content-Type": self.headers.get("Content-Type") or "application/json"}
        if cluster.token:
            headers["Authorization"] = f"Bearer {cluster.token}"
        self._upstream = upstream
        upstream.request(self.command, self.path, body, headers)
        # It closes the connection when it is closed.
        self._response = upstream.getresponse()
        return self._response

    def _watch(self, request: str, body: bytes | None, poison: bool, noted: bool) -> None:
        response = self._forward(body)
        if response.status != 200:
            self._send(response.status, "application/json", response.read())
            return
        with self._proxy._changed:
            self._proxy._watches.add(self.connection)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        if not noted:
            self._proxy.note(request)
        while line := response.readline():
            if poison:
                line = line.replace(b'"metadata":{', _POISON, 1)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        with self._proxy._changed:
            self._proxy._watches.discard(self.connection)

    def _hang(self, fault: Fault) -> None:
        """Waits until the sender gives up, or the fault is mended."""
        while not fault.mended.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.02)
            if readable:
                break
        self._abort()

    def _answer(self, code: int, body: object) -> None:
        self._send(code, "application/json", json.dumps(body).encode() + b"\n")

    def _send(self, code: int, content: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _abort(self) -> None:
        self.close_connection = True
        _break(self.connection)


def _named(method: str, path: str, query: dict[str, str]) -> tuple[str, str]:
    """A request's verb and resource, as RBAC names them."""
    parts = path.strip("/").split("/")
    at = parts.index("namespaces") + 2
    resource, is_one = parts[at], len(parts) > at + 1
    if query.get("watch"):
        return "watch", resource
    verbs = {"POST": "create", "PUT": "update", "GET": "get" if is_one else "list"}
    return verbs.get(method, method.lower()), resource


def _status(code: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": _REASONS[code],
        "message": f"the proxy answers {code}",
    }


def _break(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Freezer:
    """A network that stops to deliver, without a word to either end, as a NAT that has forgotten."""

    def __init__(self, to: tuple[str, int]) -> None:
        self._to = to
        self._frozen = 0.0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def freeze(self) -> None:
        """Stops to deliver on the connections that are open. New ones work."""
        self._frozen = time.monotonic()

    def close(self) -> None:
        _break(self._listener)
        self._listener.close()
        for one in self._open:
            _break(one)
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._to)
            begun = time.monotonic()
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._carry, args=(one, other, begun)))
                self._threads[-1].start()

    def _carry(self, near: socket.socket, far: socket.socket, begun: float) -> None:
        """Delivers until it is frozen: then what arrives is dropped, and an end is not passed on."""
        try:
            while data := near.recv(32768):
                if begun > self._frozen:
                    far.sendall(data)
            if begun > self._frozen:
                _break(far)
        except OSError:
            pass  # One of the ends is gone.
