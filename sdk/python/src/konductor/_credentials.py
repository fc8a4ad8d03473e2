"""Who a client is: a token, a file that is rotated, or a plugin of the kubeconfig."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ._errors import ConfigError
from ._json import Json, dig, parse, text

#: A pod's token is replaced long before it expires; client-go reads it as often.
_REREAD_AFTER = 60.0
#: A credential is replaced this long before it expires.
_AHEAD = 10.0
_PLUGIN_WITHIN = 60.0


@dataclass(frozen=True)
class Credential:
    """What proves who sends a request."""

    token: str | None = None
    certificate: tuple[str, str] | None = None


class Credentials(Protocol):
    """Where a credential comes from."""

    async def get(self) -> Credential:
        """Returns the present one."""

    def reject(self, used: Credential) -> bool:
        """Takes note that the API server has not accepted it; whether another may be."""


class Nothing:
    """No credential, or only the certificate of the kubeconfig."""

    async def get(self) -> Credential:
        return Credential()

    def reject(self, used: Credential) -> bool:
        return False


@dataclass
class StaticToken:
    """A token that stands in the kubeconfig."""

    token: str

    async def get(self) -> Credential:
        return Credential(token=self.token)

    def reject(self, used: Credential) -> bool:
        return False


@dataclass
class TokenFile:
    """A token in a file that is replaced now and then, such as a pod's."""

    path: Path
    _read: Credential | None = None
    _at: float = 0.0

    async def get(self) -> Credential:
        if self._read is None or time.monotonic() - self._at > _REREAD_AFTER:
            try:
                token = self.path.read_text().strip()
            except OSError as error:
                if self._read is None:
                    raise ConfigError(f"{self.path} can't be read: {error}") from error
                return self._read
            self._read, self._at = Credential(token=token), time.monotonic()
        return self._read

    def reject(self, used: Credential) -> bool:
        self._at = -_REREAD_AFTER
        try:
            return self.path.read_text().strip() != used.token
        except OSError:
            return False


@dataclass
class ExecPlugin:
    """A program that prints a credential, such as that of a cloud provider."""

    command: list[str]
    environment: dict[str, str]
    info: Json
    hint: str = ""
    _known: Credential | None = None
    _expires: float | None = None
    _running: asyncio.Lock | None = field(default=None, repr=False)

    @staticmethod
    def of(plugin: Json, cluster: Json, base: Path) -> ExecPlugin:
        """Reads the entry of a kubeconfig."""
        command = text(plugin, "command")
        if os.sep in command:
            command = str(base / command)
        arguments = dig(plugin, "args")
        variables = dig(plugin, "env")
        spec: Json = {"interactive": False}
        if dig(plugin, "provideClusterInfo") is True:
            spec["cluster"] = {
                key: value
                for key, value in cluster.items()
                if key
                in (
                    "server",
                    "tls-server-name",
                    "insecure-skip-tls-verify",
                    "certificate-authority-data",
                    "proxy-url",
                )
            }
        return ExecPlugin(
            command=[command, *(str(one) for one in arguments or [])],
            environment={text(one, "name"): text(one, "value") for one in variables or []},
            info={
                "apiVersion": text(plugin, "apiVersion") or "client.authentication.k8s.io/v1",
                "kind": "ExecCredential",
                "spec": spec,
            },
            hint=text(plugin, "installHint"),
        )

    async def get(self) -> Credential:
        self._running = self._running or asyncio.Lock()
        async with self._running:
            fresh = self._expires is None or time.time() < self._expires - _AHEAD
            if self._known is not None and fresh:
                return self._known
            made, self._expires = await asyncio.to_thread(self._run)
            self._known = made
            return made

    def reject(self, used: Credential) -> bool:
        if self._known == used:
            self._known = None
        return True

    def _run(self) -> tuple[Credential, float | None]:
        environment = {
            **os.environ,
            **self.environment,
            "KUBERNETES_EXEC_INFO": json.dumps(self.info),
        }
        try:
            printed = subprocess.run(
                self.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PLUGIN_WITHIN,
                check=True,
            ).stdout
        except FileNotFoundError as error:
            raise self._wrong(f"is not installed. {self.hint}".strip()) from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise self._wrong(f"has failed with exit code {error.returncode}: {said}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._wrong(f"can't be run: {error}") from error
        status = dig(parse(printed), "status")
        token = text(status, "token") or None
        certificate = text(status, "clientCertificateData")
        key = text(status, "clientKeyData")
        if not token and not (certificate and key):
            raise self._wrong("has printed no credential")
        pair = (certificate + "\n", key) if certificate and key else None
        return Credential(token, pair), _time(text(status, "expirationTimestamp"))

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"the kubeconfig's plugin {self.command[0]} {what}")


def _time(stamp: str) -> float | None:
    if not stamp:
        return None
    try:
        return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
