"""How a cluster is found, and who the client is there."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

import konductor
from konductor import _config
from konductor._credentials import Credential, ExecPlugin, TokenFile

from .kube import Cluster
from .proxy import Fault, Proxy


def kubeconfig(path: Path, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "it", "cluster": {"server": "https://one.test:6443/prefix/", **cluster}}],
        "users": [{"name": "me", "user": user or {}}],
        "contexts": [{"name": "here", "context": {"cluster": "it", "user": "me", "namespace": "team"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def plugin(path: Path, **status: str) -> dict[str, Any]:
    """A plugin of a kubeconfig, which counts how often it runs."""
    program = path / "plugin.py"
    program.write_text(
        "import json, os, pathlib\n"
        f"count = pathlib.Path({str(path / 'count')!r})\n"
        "runs = int(count.read_text()) + 1 if count.exists() else 1\n"
        "count.write_text(str(runs))\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        f"status = {status!r}\n"
        "status['token'] = f\"{os.environ['PREFIX']}-{runs}\"\n"
        "print(json.dumps({'apiVersion': info['apiVersion'], 'kind': info['kind'], 'status': status}))\n"
    )
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(program)],
            "env": [{"name": "PREFIX", "value": "token"}],
            "interactiveMode": "Never",
            "provideClusterInfo": True,
        }
    }


def test_a_kubeconfig_names_the_server_and_the_namespace(tmp_path: Path) -> None:
    config = _config.load(kubeconfig(tmp_path / "config", {"token": "secret"}))
    assert (config.server, config.namespace) == ("https://one.test:6443/prefix", "team")
    assert asyncio.run(config.credentials.get()) == Credential(token="secret")


def test_of_several_kubeconfigs_the_first_entry_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kubeconfig(tmp_path / "first", {"token": "one"})
    second = kubeconfig(tmp_path / "second", {"token": "two"})
    missing = tmp_path / "missing"
    monkeypatch.setenv("KUBECONFIG", f"{missing}:{first}:{second}")
    assert asyncio.run(_config.load().credentials.get()).token == "one"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no kubeconfig"),
        ("current-context: ''", "no context is chosen"),
        ("current-context: here", "no context 'here'"),
        ("[]", "no context is chosen"),
    ],
)
def test_a_kubeconfig_that_can_not_be_used_says_why(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(konductor.ConfigError, match=message):
        konductor.Client(kubeconfig=path)


def test_without_a_cluster_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(konductor.ConfigError, match="set KUBECONFIG, or run in a pod"):
        konductor.Client()


def test_in_a_pod_the_token_and_the_ca_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "namespace").write_text("team\n")
    (tmp_path / "ca.crt").write_text("the CA")
    monkeypatch.setattr(_config, "IN_POD", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    config = _config.load()
    assert (config.server, config.namespace, config.ca) == ("https://[fd00::1]:443", "team", "the CA")
    assert asyncio.run(config.credentials.get()).token == "secret"


def test_a_token_that_was_replaced_is_read_again_after_it_was_rejected(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    credentials = TokenFile(path)

    async def main() -> None:
        one = await credentials.get()
        path.write_text("two")
        assert await credentials.get() == one
        assert credentials.reject(one)
        two = await credentials.get()
        assert two.token == "two"
        assert not credentials.reject(two)

    asyncio.run(main())


def test_a_plugin_is_run_once_for_as_long_as_its_credential_lasts(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", plugin(tmp_path, expirationTimestamp="2999-01-01T00:00:00Z"))
    credentials = _config.load(path).credentials

    async def main() -> None:
        known = await asyncio.gather(*(credentials.get() for _ in range(5)))
        assert {one.token for one in known} == {"token-1"}
        assert credentials.reject(known[0])
        assert (await credentials.get()).token == "token-2"

    asyncio.run(main())


def test_a_credential_that_has_expired_is_replaced(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", plugin(tmp_path, expirationTimestamp="2001-01-01T00:00:00Z"))
    credentials = _config.load(path).credentials
    assert asyncio.run(credentials.get()).token == "token-1"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["no-such-plugin"], "is not installed. Install it with x"),
        ([sys.executable, "-c", "import sys; sys.exit('expired: log in')"], "exit code 1: expired: log in"),
        ([sys.executable, "-c", "print('{}')"], "has printed no credential"),
    ],
)
def test_a_plugin_that_fails_is_named(command: list[str], message: str) -> None:
    made = ExecPlugin(command, {}, {}, "Install it with x")
    with pytest.raises(konductor.ConfigError, match=message):
        asyncio.run(made.get())


def test_a_client_certificate_is_on_disk_only_for_the_user_and_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with _config._file("secret") as path:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []
    encoded = base64.b64encode(b"no certificate").decode()
    user = {"client-certificate-data": encoded, "client-key-data": encoded}
    config = _config.load(kubeconfig(tmp_path / "config", user))
    with pytest.raises(konductor.ConfigError, match=r"certificates for https://one.test:6443"):
        config.tls(None)


def test_a_rejected_credential_is_replaced_once_and_the_request_repeated(
    tmp_path: Path, cluster: Cluster, namespace: str
) -> None:
    cluster.create(namespace, "Gate", "ready", {"decision": "Open"})
    proxy = Proxy(cluster)
    config = json.loads(cluster.kubeconfig_of(namespace, proxy.address).read_text())
    config["users"] = [{**one, "user": plugin(tmp_path)} for one in config["users"]]
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    try:
        with konductor.Client(kubeconfig=path) as client:
            proxy.begin(Fault("get", "gates", times=1, code=401))
            client.gate("ready").wait()
            assert (tmp_path / "count").read_text() == "2"
            proxy.begin(Fault("get", "gates", code=401))
            with pytest.raises(konductor.Unauthorized, match="does not accept the credentials"):
                client.gate("ready").wait(timeout=5)
    finally:
        proxy.close()


def test_a_proxy_of_the_environment_is_used_unless_the_host_is_excluded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "one.test")
    assert _config.Config("https://one.test").proxy_url() is None
    assert _config.Config("https://two.test").proxy_url() == "http://proxy.test:3128"


def test_a_variable_that_another_thread_removes_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    bypass, removed = urllib.request.proxy_bypass, ["SOME_VARIABLE"]

    def once(host: str) -> bool:
        if removed:
            raise KeyError(removed.pop())
        return bool(bypass(host))

    monkeypatch.setattr(urllib.request, "proxy_bypass", once)
    assert _config.Config("https://two.test").proxy_url() == "http://proxy.test:3128"
    named = _config.Config("https://one.test", proxy="http://other.test:1")
    assert named.proxy_url() == "http://other.test:1"
