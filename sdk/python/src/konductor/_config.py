"""Finds the cluster as kubectl does: by a kubeconfig, or in a pod by its service account."""

from __future__ import annotations

import base64
import binascii
import json
import os
import ssl
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._credentials import Credentials, ExecPlugin, Nothing, StaticToken, TokenFile
from ._errors import ConfigError
from ._json import Json, dig, text

IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass
class Config:
    """How an API server is reached."""

    server: str
    namespace: str = "default"
    ca: str | None = None
    verify: bool = True
    #: The name in the server's certificate, if it is not that of its address.
    server_name: str | None = None
    proxy: str | None = None
    #: A certificate and its key, as PEM.
    certificate: tuple[str, str] | None = None
    credentials: Credentials = field(default_factory=Nothing)

    def tls(self, certificate: tuple[str, str] | None) -> ssl.SSLContext:
        """Makes the TLS settings, with the client's certificate if there is one."""
        try:
            context = ssl.create_default_context(cadata=self.ca)
            if not self.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            own = certificate or self.certificate
            if own:
                with _file("".join(own)) as path:
                    context.load_cert_chain(path)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the certificates for {self.server} can't be used: {error}") from error
        return context

    def proxy_url(self) -> str | None:
        """The proxy between here and the server: the kubeconfig's, or that of the environment."""
        if self.proxy:
            return self.proxy
        while True:
            try:
                return _proxy_of_environment(self.server)
            except KeyError:
                # Another thread has removed a variable while the environment was read.
                continue


def _proxy_of_environment(server: str) -> str | None:
    url = urllib.parse.urlsplit(server)
    if urllib.request.proxy_bypass(url.hostname or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)


@contextmanager
def _file(content: str) -> Iterator[str]:
    """A file that only this user can read: OpenSSL reads client certificates from nowhere else."""
    handle, path = tempfile.mkstemp(prefix="konductor-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(content)
        yield path
    finally:
        os.unlink(path)


def load(kubeconfig: str | os.PathLike[str] | None = None, context: str | None = None) -> Config:
    """Finds a cluster. It makes no request."""
    if kubeconfig is not None:
        return from_kubeconfig([Path(kubeconfig)], context)
    named = os.environ.get("KUBECONFIG", "")
    paths = [Path(one) for one in named.split(os.pathsep) if one]
    paths = paths or [Path.home() / ".kube" / "config"]
    paths = [path for path in paths if path.exists()]
    if paths:
        return from_kubeconfig(paths, context)
    if os.environ.get("KUBERNETES_SERVICE_HOST") and (IN_POD / "token").exists():
        return from_pod()
    raise ConfigError("no cluster to connect to; set KUBECONFIG, or run in a pod with a service account")


def from_pod() -> Config:
    """Returns the cluster of the pod in which the program runs."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    return Config(
        server=f"https://{host}:{port}",
        namespace=os.environ.get("POD_NAMESPACE") or _read(IN_POD / "namespace").strip(),
        ca=_read(IN_POD / "ca.crt"),
        credentials=TokenFile(IN_POD / "token"),
    )


def from_kubeconfig(paths: list[Path], context: str | None) -> Config:
    """Returns the cluster of a context of kubeconfigs; of two entries with one name the first counts."""
    files = [(path, _parse(path)) for path in paths]
    current = context or next(
        (text(file, "current-context") for _, file in files if text(file, "current-context")), ""
    )
    if not current:
        raise ConfigError(f"no context is chosen in {_names(paths)}; run kubectl config use-context")
    chosen, _ = _entry(files, "contexts", "context", current)
    cluster, base = _entry(files, "clusters", "cluster", text(chosen, "cluster"))
    user: Json = {}
    user_base = base
    if text(chosen, "user"):
        user, user_base = _entry(files, "users", "user", text(chosen, "user"))
    server = text(cluster, "server").rstrip("/")
    if urllib.parse.urlsplit(server).scheme not in ("http", "https"):
        raise ConfigError(f"{server!r} in {_names(paths)} can't be the address of an API server")
    certificate = _data(user, "client-certificate", user_base)
    key = _data(user, "client-key", user_base)
    return Config(
        server=server,
        namespace=text(chosen, "namespace") or "default",
        ca=_data(cluster, "certificate-authority", base),
        verify=dig(cluster, "insecure-skip-tls-verify") is not True,
        server_name=text(cluster, "tls-server-name") or None,
        proxy=text(cluster, "proxy-url") or None,
        certificate=(certificate + "\n", key) if certificate and key else None,
        credentials=_credentials(user, cluster, user_base, paths),
    )


def _credentials(user: Json, cluster: Json, base: Path, paths: list[Path]) -> Credentials:
    if text(user, "token"):
        return StaticToken(text(user, "token"))
    if text(user, "tokenFile"):
        return TokenFile(base / text(user, "tokenFile"))
    plugin = dig(user, "exec")
    if isinstance(plugin, dict):
        return ExecPlugin.of(plugin, cluster, base)
    if dig(user, "auth-provider"):
        raise ConfigError(
            f"the auth-provider in {_names(paths)} is no longer part of Kubernetes; use an exec plugin"
        )
    return Nothing()


def _parse(path: Path) -> Any:
    content = _read(path)
    try:
        return json.loads(content)
    except ValueError:
        pass
    # Only people write YAML: a pod needs no parser for it.
    import yaml

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no kubeconfig: {error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error


def _entry(files: list[tuple[Path, Any]], listed: str, kind: str, name: str) -> tuple[Json, Path]:
    """Finds an entry, and the folder that its relative paths begin at."""
    for path, file in files:
        entries = dig(file, listed)
        for entry in entries if isinstance(entries, list) else []:
            found = dig(entry, kind)
            if text(entry, "name") == name and isinstance(found, dict):
                return found, path.resolve().parent
    raise ConfigError(f"no {kind} {name!r} in {_names([path for path, _ in files])}")


def _data(entry: Json, name: str, base: Path) -> str | None:
    """What a kubeconfig holds itself, or names the file of."""
    encoded = text(entry, f"{name}-data")
    if encoded:
        try:
            return base64.b64decode(encoded).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}-data of the kubeconfig can't be read: {error}") from error
    path = text(entry, name)
    return _read(base / path) if path else None


def _names(paths: list[Path]) -> str:
    return ", ".join(str(path) for path in paths)
