"""Requests to the API server, and what it answers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ._config import Config
from ._credentials import Credential
from ._errors import (
    NOT_FOUND,
    NOT_INSTALLED,
    UNREACHABLE,
    ConfigError,
    Forbidden,
    KonductorError,
    NotFound,
    Refused,
    Target,
    Unauthorized,
    Unreachable,
)
from ._json import Json, dig, parse, text
from ._timing import Late, within

if TYPE_CHECKING:
    import httpcore

log = logging.getLogger("konductor")

VERSION = "0.1.0"
_FIELD_MANAGER = "konductor-sdk"
#: How long a request may take, unless it is a watch.
_REQUEST_WITHIN = 30.0
_CONNECT_WITHIN = 10.0
#: How long the API server is asked to serve a watch; the next one begins where it has ended. A
#: connection that delivers nothing any more, without being closed, is noticed by nothing else: a
#: quiet watch on it looks like any other until it does not end.
WATCH_SECONDS = 8
#: A watch that has not ended this long after it should have is frozen.
_WATCH_GRACE = 3.0
#: How many requests of one kind are sent at once, renewals and watches aside: each has a connection.
_AT_ONCE = 32
_MERGE_PATCH = "application/merge-patch+json"


class Answer(Exception):
    """The API server has answered, and not with success."""

    def __init__(self, code: int, body: Json | None, raw: bytes = b"") -> None:
        self.code = code
        self.reason = text(body, "reason") or "Unknown"
        self.message = text(body, "message") or raw[:200].decode(errors="replace").strip()
        #: Whether a resource does not exist at all, rather than one object of it.
        self.not_served = code == 404 and text(body, "kind") != "Status"
        super().__init__(f"{code} {self.reason}: {self.message}")

    @property
    def not_found(self) -> bool:
        return self.code == 404 and not self.not_served

    @property
    def already_exists(self) -> bool:
        return self.code == 409 and self.reason == "AlreadyExists"

    @property
    def forgotten(self) -> bool:
        """Whether a version is older than what the API server remembers."""
        return self.code == 410 or self.reason in ("Expired", "Gone")

    @staticmethod
    def of(event: object) -> Answer:
        """The error that a watch reports."""
        code = dig(event, "code")
        return Answer(code if isinstance(code, int) else 0, event if isinstance(event, dict) else {})


class NoAnswer(Exception):
    """Nothing has answered; whether the request was carried out is not known."""


def uncertain(error: Exception) -> bool:
    """Whether a request may have been carried out, or may be answered differently next time."""
    if not isinstance(error, Answer):
        return isinstance(error, NoAnswer)
    return error.code >= 500 or error.code in (408, 429) or error.not_served


def explain(on: Target, error: Exception) -> KonductorError:
    """Puts what was answered into the words of this package."""
    if isinstance(error, KonductorError):
        return error
    made = _explained(on, error)
    made.__cause__ = error
    return made


def _explained(on: Target, error: Exception) -> KonductorError:
    if not isinstance(error, Answer):
        return on.error(
            Unreachable,
            UNREACHABLE,
            f"the API server can't be reached; check the kubeconfig and the network: {error}",
        )
    if error.not_served:
        return on.error(
            NotFound,
            NOT_INSTALLED,
            "the API server does not serve it; install konductor, such as with "
            "`koncli crds | kubectl apply -f -`",
        )
    if error.code == 404:
        return on.error(NotFound, NOT_FOUND, "it does not exist; create it, or use another namespace")
    if error.code == 401:
        return on.error(
            Unauthorized,
            "Unauthorized",
            "the API server does not accept the credentials; renew them, or use another kubeconfig: "
            + error.message,
        )
    if error.code == 403:
        return on.error(Forbidden, "Forbidden", f"not allowed; give this account the right: {error.message}")
    return on.error(Refused, error.reason, f"the API server refuses it ({error.code}): {error.message}")


class _Connections:
    """Connections that are used, and retired, together."""

    def __init__(self, pool: httpcore.AsyncConnectionPool, certificate: tuple[str, str] | None) -> None:
        self.pool = pool
        self.certificate = certificate
        self.users = 0
        self.retired = False


class Http:
    """The API server's resources of konductor.io/v1, in one event loop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._connections: _Connections | None = None
        self._turns = _turns()

    async def get(self, on: Target, limit: float = _REQUEST_WITHIN) -> Json:
        return await self._send("GET", _url(on, on.name), limit=limit)

    async def list(self, on: Target) -> Json:
        """Lists the objects that have the target's name: one or none, and a version."""
        return await self._send("GET", _url(on, "", fieldSelector=f"metadata.name={on.name}"))

    async def create(self, on: Target, body: Json) -> Json:
        return await self._send("POST", _url(on, "", fieldManager=_FIELD_MANAGER), body)

    async def patch(self, on: Target, body: Json, limit: float = _REQUEST_WITHIN) -> Json:
        url = _url(on, on.name, fieldManager=_FIELD_MANAGER)
        return await self._send("PATCH", url, body, _MERGE_PATCH, limit)

    async def delete(self, on: Target, uid: str) -> None:
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            body["preconditions"] = {"uid": uid}
        await self._send("DELETE", _url(on, on.name), body)

    async def watch(self, on: Target, version: str, label: str = "") -> AsyncGenerator[Json, None]:
        """Yields the changes of one object, or of those with a label.

        It ends when the API server ends the watch, and raises ``NoAnswer`` if the connection breaks
        or is frozen.
        """
        url = _url(
            on,
            "",
            watch="1",
            allowWatchBookmarks="true",
            timeoutSeconds=str(WATCH_SECONDS),
            resourceVersion=version,
            **({"labelSelector": label} if label else {"fieldSelector": f"metadata.name={on.name}"}),
        )
        deadline = _loop_time() + WATCH_SECONDS + _WATCH_GRACE
        credential = await self._config.credentials.get()
        connections = await self._use(credential)
        try:
            request = connections.pool.stream(
                "GET",
                self._config.server + url,
                headers=_headers(credential, None),
                extensions=self._extensions(),
            )
            response = await within(deadline - _loop_time(), request.__aenter__())
            try:
                async with aclosing(_events(response, deadline)) as events:
                    if response.status != 200:
                        raw = b"".join([chunk async for chunk in events])
                        if response.status == 401:
                            self._config.credentials.reject(credential)
                        raise Answer(response.status, parse(raw), raw)
                    async for line in events:
                        event = parse(line)
                        if event is None:
                            raise NoAnswer("a watch has sent what is no event")
                        yield event
            finally:
                await request.__aexit__(None, None, None)
        except Late as late:
            await self._retire(connections)
            raise NoAnswer("a watch has not ended in time: its connection is silent") from late
        except _broken() as error:
            raise NoAnswer(_words(error)) from error
        finally:
            await self._done(connections)

    async def close(self) -> None:
        """Closes all connections."""
        connections, self._connections = self._connections, None
        if connections:
            await connections.pool.aclose()

    def forget(self) -> None:
        """Drops connections that belong to another process."""
        self._connections = None
        self._turns = _turns()

    async def _send(
        self,
        method: str,
        url: str,
        body: Json | None = None,
        content: str = "application/json",
        limit: float = _REQUEST_WITHIN,
    ) -> Json:
        async with self._turns.get(method) or nullcontext():
            code, raw = await self._authorized(method, url, body, content, limit)
        found = parse(raw)
        if not 200 <= code < 300:
            raise Answer(code, found, raw)
        if found is None:
            raise NoAnswer("the answer can't be read")
        return found

    async def _authorized(
        self, method: str, url: str, body: Json | None, content: str, limit: float
    ) -> tuple[int, bytes]:
        credential = await self._config.credentials.get()
        answer = await self._exchange(method, url, body, content, credential, limit)
        if answer[0] == 401 and self._config.credentials.reject(credential):
            credential = await self._config.credentials.get()
            answer = await self._exchange(method, url, body, content, credential, limit)
        return answer

    async def _exchange(
        self,
        method: str,
        url: str,
        body: Json | None,
        content: str,
        credential: Credential,
        limit: float,
    ) -> tuple[int, bytes]:
        connections = await self._use(credential)
        try:
            request = connections.pool.request(
                method,
                self._config.server + url,
                headers=_headers(credential, content if body is not None else None),
                content=json.dumps(body).encode() if body is not None else None,
                extensions=self._extensions(),
            )
            response = await within(limit, request)
            return response.status, response.content
        except Late as late:
            # Its connection may be frozen, and others with it.
            await self._retire(connections)
            raise NoAnswer(f"no answer within {limit:g} s") from late
        except _broken() as error:
            raise NoAnswer(_words(error)) from error
        finally:
            await self._done(connections)

    def _extensions(self) -> dict[str, Any]:
        # A watch may be silent until it ends, and requests have limits of their own.
        extensions: dict[str, Any] = {"timeout": {"connect": _CONNECT_WITHIN}}
        if self._config.server_name:
            extensions["sni_hostname"] = self._config.server_name
        return extensions

    async def _use(self, credential: Credential) -> _Connections:
        known = self._connections
        if known is None or known.retired or known.certificate != credential.certificate:
            pool = _pool(self._config, credential.certificate)
            self._connections = _Connections(pool, credential.certificate)
            if known:
                await self._retire(known)
        used = self._connections
        assert used is not None
        used.users += 1
        return used

    async def _retire(self, connections: _Connections) -> None:
        """Lets new requests open new connections; those that are under way keep theirs."""
        if not connections.retired:
            connections.retired = True
            log.debug("replacing the connections to %s", self._config.server)
        if not connections.users:
            await connections.pool.aclose()

    async def _done(self, connections: _Connections) -> None:
        connections.users -= 1
        if connections.retired and not connections.users:
            await connections.pool.aclose()


def _turns() -> dict[str, asyncio.Semaphore]:
    """The turns of requests: releases don't wait behind those that acquire, renewals behind nothing."""
    others = asyncio.Semaphore(_AT_ONCE)
    return {"GET": others, "POST": others, "DELETE": asyncio.Semaphore(_AT_ONCE)}


async def _events(response: httpcore.Response, deadline: float) -> AsyncGenerator[bytes, None]:
    """Yields the lines of an answer while they arrive.

    They are not the lines of ``str``: JSON may hold other characters that end those.
    """
    waiting = b""
    async with aclosing(_chunks(response)) as chunks:
        while True:
            try:
                chunk = await within(deadline - _loop_time(), _next(chunks))
            except StopAsyncIteration:
                break
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                yield line
    if waiting:
        yield waiting


async def _chunks(response: httpcore.Response) -> AsyncGenerator[bytes, None]:
    async for chunk in response.aiter_stream():
        yield chunk


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    return await chunks.__anext__()


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _pool(config: Config, certificate: tuple[str, str] | None) -> httpcore.AsyncConnectionPool:
    import httpcore

    options: dict[str, Any] = {
        "ssl_context": config.tls(certificate) if config.server.startswith("https") else None,
        # No limit: a renewal must not wait for a connection behind those that watch.
        "max_connections": None,
        "max_keepalive_connections": _AT_ONCE,
        "keepalive_expiry": 60.0,
    }
    proxy = config.proxy_url()
    if not proxy:
        return httpcore.AsyncConnectionPool(**options)
    if proxy.startswith("socks"):
        return httpcore.AsyncSOCKSProxy(proxy_url=proxy, **options)
    if proxy.startswith("http"):
        return httpcore.AsyncHTTPProxy(proxy_url=proxy, **options)
    raise ConfigError(f"{proxy!r} can't be the address of a proxy")


def _broken() -> tuple[type[Exception], ...]:
    """What a connection that fails raises."""
    import httpcore

    return (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.TimeoutException,
        httpcore.ProxyError,
        httpcore.ConnectionNotAvailable,
        httpcore.UnsupportedProtocol,
        OSError,
    )


def _headers(credential: Credential, content: str | None) -> list[tuple[str, str]]:
    headers = [("User-Agent", f"konductor-python/{VERSION}"), ("Accept", "application/json")]
    if credential.token:
        headers.append(("Authorization", f"Bearer {credential.token}"))
    if content:
        headers.append(("Content-Type", content))
    return headers


def _url(on: Target, name: str, **params: str) -> str:
    url = f"/apis/konductor.io/v1/namespaces/{quote(on.namespace, safe='')}/{on.resource}"
    if name:
        url += f"/{quote(name, safe='')}"
    return f"{url}?{urlencode(params)}" if params else url


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
