from __future__ import annotations

from collections.abc import Iterator

import pytest

from .kube import Cluster, Clusters


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    made = Clusters()
    yield made
    made.close()


@pytest.fixture(scope="session")
def cluster(clusters: Clusters) -> Cluster:
    return clusters.cluster


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    return cluster.namespace()
