"""The executor on a Ray cluster: a boot is an actor with its share of a machine, arms are asked at the same time."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from kvassay.backend.base import Backend
from kvassay.backend.catalog import CATALOG
from kvassay.errors import ConfigError, first_line, last_lines
from kvassay.executor.base import Visit
from kvassay.executor.baton import Baton
from kvassay.executor.nodes import Node, Share, Wish, fitting, one_kind, share_of
from kvassay.executor.ray_worker import Travelling, introduce
from kvassay.extras import install_line
from kvassay.host import Machine
from kvassay.settings import RunSettings

RETRIES = 3
_KNOCK_S = 10.0
_INTRODUCE_S = 120.0  # a first worker process on a busy machine


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster that has been looked at. ``halt`` ends everything that is under way on it."""

    share: Share
    hardware: str
    halt: threading.Event = field(default_factory=threading.Event)

    def executor(self) -> RayExecutor:
        """A run's executor; runs at the same time have one each."""
        return RayExecutor(self)


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """One run on a cluster. The reference is asked to its end first, as the others are judged against it while they
    run; then all others at the same time, as far as the cluster has room.
    """

    cluster: Cluster
    retries: int = RETRIES
    baton: Baton = field(default_factory=Baton)
    _halt: threading.Event = field(default_factory=threading.Event)

    @property
    def hardware(self) -> str:
        return self.cluster.hardware

    def fit(self, settings: RunSettings) -> RunSettings:
        """Settings with as many threads as a boot has CPUs, where the user names none, and with the binary's whole
        path: a worker's working directory is another.
        """
        if CATALOG[settings.backend].reach == "attached":
            raise ConfigError(
                f"backend = {settings.backend!r} asks servers of yours: there is nothing for --executor ray to place"
            )
        if settings.port is not None:
            raise ConfigError(
                f"--port {settings.port} would be taken twice where two boots share a machine",
                hint="Leave --port out with --executor ray.",
            )
        binary = settings.server_binary
        if binary and Path(binary).name != binary:  # a bare name is one on PATH
            binary = str(Path(binary).absolute())
        threads = settings.threads or self.cluster.share.cpus
        return settings.model_copy(update={"threads": threads, "server_binary": binary})

    def backend(self, recipe: Travelling) -> Backend:
        from kvassay.executor.ray_boot import RemoteBackend  # noqa: PLC0415  needs the extra

        return RemoteBackend(recipe, self.cluster.share, self.baton, self.halted)

    def halted(self) -> bool:
        """Whether whoever waits for a worker shall give up."""
        return self._halt.is_set() or self.cluster.halt.is_set()

    def walk(self, first: Visit, others: Sequence[Visit]) -> None:
        self._together([first])
        self._together(others)

    def _together(self, visits: Sequence[Visit]) -> None:
        with ThreadPoolExecutor(max_workers=max(1, len(visits))) as pool:
            ends = [pool.submit(self._visit, visit) for visit in visits]
            try:
                for end in as_completed(ends):
                    end.result()
            except BaseException:
                self._halt.set()
                raise

    def _visit(self, visit: Visit) -> None:
        with self.baton.held():
            if not self.halted():
                visit()


@contextmanager
def cluster_at(address: str, wish: Wish) -> Iterator[Cluster]:
    """Connect to a Ray cluster and look at its machines.

    ``address`` is ``auto`` (the one that this machine belongs to, or RAY_ADDRESS) or ``host:port``. Raises ConfigError
    where Ray is not installed, the cluster can't be reached, or its machines can't hold a boot or are not of one kind.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine that the user did not ask for
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # a lost worker is told by us, in two lines
    try:
        import ray  # noqa: PLC0415  an extra
    except ImportError:
        raise ConfigError("--executor ray needs Ray", hint=install_line("ray")) from None
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"no Ray cluster at {address!r}: {first_line(error)}",
            hint="Start one with 'ray start --head', also on a single machine (docs/cluster.md), or name it with "
            "--ray-address HOST:PORT.",
        ) from None
    try:
        yield _look_at(wish)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nothing listens: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def _look_at(wish: Wish) -> Cluster:
    import ray  # noqa: PLC0415  as above

    told = [node for node in ray.nodes() if node["Alive"]]
    nodes = [Node(node["NodeID"], node["NodeManagerHostname"], node["Resources"]) for node in told]
    share = share_of(wish, nodes)
    return Cluster(share, one_kind(_introduced(fitting(nodes, share)), share))


def _introduced(nodes: Sequence[Node]) -> list[Machine]:
    """What each machine says of itself. Raises ConfigError for one that has no kvassay, or another version of it."""
    import ray  # noqa: PLC0415  as above
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    ask = ray.remote(introduce)
    places = [NodeAffinitySchedulingStrategy(node.id, soft=False) for node in nodes]
    asked = [ask.options(num_cpus=0, max_retries=1, scheduling_strategy=place).remote() for place in places]
    machines = []
    for name, reference in zip((node.name for node in nodes), asked, strict=True):
        try:
            machine, theirs = ray.get(reference, timeout=_INTRODUCE_S)
        except ray.exceptions.RayError as error:
            (said,) = last_lines(error, 1) or (type(error).__name__,)
            raise ConfigError(
                f"kvassay can't be run on the cluster's machine {name!r}: {said}",
                hint="Install the same Python, Ray and kvassay on every machine.",
            ) from None
        if theirs != version("kvassay"):
            raise ConfigError(
                f"the cluster's machine {name!r} has kvassay {theirs}, this one has {version('kvassay')}",
                hint="Install the same version everywhere: workers and driver speak its values.",
            )
        machines.append(machine)
    return machines
