"""A Prometheus of our own beside a rollout on this machine: found, started, kept running, taken over, stopped.

Built by `controlplane.program` where the plan wants Prometheus and there is one. It scrapes our Envoy and the replicas'
own pages, labels every series of these with `arm`, `replica` and `variant`, reads further pages that the plan names
as they are, listens on loopback only and keeps its data in the
state folder. It runs in its own session, so it outlives a killed Serinus and the next run takes it over.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from canary.errors import Unavailable
from canary.spec.sources import ENVOY_STATS
from canary.weights import ARMS, Arm
from controlplane.adapters.process_child import Child, child_of, end, last_line, port_of, start, status_in_words
from controlplane.adapters.process_environment import for_own_program
from controlplane.adapters.process_ports import free_port, port_is_free
from controlplane.adapters.prometheus import PAGES_JOB, PROXY_JOB, REPLICAS_JOB
from controlplane.adapters.scrape import Pages
from controlplane.adapters.state_dir import default_cache_folder
from controlplane.private_files import private_folder, read_json, write_json

MISSING = (
    "There is no Prometheus on this machine (neither on PATH nor unpacked by scripts/prometheus.sh): "
    "metrics are scraped directly instead."
)
RESTART_AFTER_S = 2.0
"""Seconds between two starts of a Prometheus that ends by itself."""
TERM_PATIENCE_S = 5.0
LEAST_ROOM = 1024 * 1024
"""Bytes on the disk below which it is said to be full: Prometheus writes pages of 32 KB, several at a time."""
MOST_BYTES_A_PAGE = "4MB"
MOST_SAMPLES, MOST_LABELS, LONGEST_LABEL = 20_000, 64, 4096
"""On one page of a replica. A page with more is not read at all: nothing of it would be worth what it costs."""


def find_prometheus(environment: Mapping[str, str] | None = None) -> Path | None:
    """The program: on PATH, or where `scripts/prometheus.sh` unpacks Debian's package; None when it is in neither."""
    variables = os.environ if environment is None else environment
    if found := shutil.which("prometheus", path=variables.get("PATH", "")):
        return Path(found)
    unpacked = default_cache_folder("prometheus", variables) / "usr" / "bin" / "prometheus"
    return unpacked if os.access(unpacked, os.X_OK) else None


class PrometheusServer:
    """At most one Prometheus for each state folder."""

    def __init__(
        self,
        folder: Path,
        *,
        program: Path,
        envoy: Callable[[], str],
        pages: Pages,
        names: Mapping[Arm, str],
        interval: float,
        others: Sequence[str] = (),
    ) -> None:
        """`envoy` and `pages` are asked at each `keep`, for addresses may move; `interval` in seconds.

        `others`: addresses of further pages, read for people's own PromQL alone.
        """
        self._folder = folder
        self._program = program
        self.envoy = envoy
        self.pages = pages
        self._names = names
        self._interval = interval
        self._others = tuple(others)
        self._child: Child | None = None
        self._former: Child | None = None
        """Killed, because it was started for another plan; its data is its own until it is gone."""
        self._port = 0
        self._targets: dict[str, Any] = {}
        self._started_at = float("-inf")

    @property
    def url(self) -> str:
        """Where it listens; it may listen elsewhere after `keep` had to start it again."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        """What it says."""
        return self._folder / "prometheus.log"

    def keep(self, now: float) -> None:
        """Have it run and scrape what there is to scrape now. Raises `Unavailable` while that is not so."""
        try:
            private_folder(self._folder, ours=True)
            self._write_targets()
            if self._child is None:
                self._take_over()
            if self._child is None or not self._child.alive:
                self._start(now)
        except OSError as error:
            raise Unavailable(f"Prometheus ({self._program}) cannot be started: {error.strerror}.") from error

    def trouble(self, why: str) -> str:
        """Why it stores nothing, as a clause: the full disk, `why` it does not answer, or the last line of its log."""
        free = self._free()
        if free is not None and free < LEAST_ROOM:
            return f"the disk of {self._folder} is full"
        return (why or last_line(self.log) or "it does not say why").rstrip(".")

    @property
    def remedy(self) -> str:
        """What a person does about it, as a sentence."""
        free = self._free()
        if free is not None and free < LEAST_ROOM:
            return f"Free some space for {self._folder}; it goes on by itself."
        return f"Its log is {self.log}."

    def _free(self) -> int | None:
        """Bytes that are free for its data; None where that cannot be said."""
        try:
            return shutil.disk_usage(self._folder).free
        except OSError:
            return None

    async def close(self) -> None:
        """End it: asked first, killed if it does not listen."""
        if self._child is None:
            self._take_over()
        child, self._child = self._child, None
        if child is None:
            return
        await end(child, TERM_PATIENCE_S)
        (self._folder / "prometheus.json").unlink(missing_ok=True)

    def _take_over(self) -> None:
        """Go on with the one that an earlier run left, if it was started for the same plan."""
        record = read_json(self._folder / "prometheus.json")
        child, port = child_of(record), port_of(record)
        if child is None:
            return
        if child.alive and port and record.get("configuration") == self._configuration():
            self._child, self._port = child, port
        else:
            child.kill()
            self._former = child

    def _start(self, now: float) -> None:
        if self._former is not None and self._former.alive:
            raise Unavailable("The Prometheus of the plan before is ending, and another one starts when it is gone.")
        if self._child is not None and now - self._started_at < RESTART_AFTER_S:
            ended = status_in_words(self._child.exit_status)
            raise Unavailable(f"Prometheus ended ({ended}: {last_line(self.log)}) and is about to be started again.")
        if not self._port or not port_is_free("127.0.0.1", self._port):
            self._port = free_port()
        write_json(self._folder / "prometheus.yml", self._configuration())
        command = [
            str(self._program),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'prometheus-data'}",
            "--storage.tsdb.retention.size=1GB",
            f"--web.listen-address=127.0.0.1:{self._port}",
            # New replicas are scraped within seconds in place of five more.
            "--scrape.discovery-reload-interval=100ms",
            "--log.level=warn",
        ]
        self._child = start(command, log=self.log, env=for_own_program(os.environ), private=True)
        self._started_at = now
        record = {"pid": self._child.pid, "created": self._child.created, "port": self._port}
        try:
            write_json(self._folder / "prometheus.json", {**record, "configuration": self._configuration()})
        except OSError:
            self._child.kill()  # without its record nothing would find it again after a crash of ours
            raise

    def _write_targets(self) -> None:
        """Tell it which addresses there are; it watches these files."""
        for job, groups in (("proxy", self._proxy_target()), ("replicas", self._replica_targets())):
            if self._targets.get(job) != groups:
                write_json(self._folder / f"targets-{job}.json", groups)
                self._targets[job] = groups

    def _proxy_target(self) -> list[dict[str, Any]]:
        # The same `instance` wherever it listens: another one would be another series, counted beside the old one.
        return [{"targets": [self.envoy()], "labels": {"instance": "envoy"}}]

    def _replica_targets(self) -> list[dict[str, Any]]:
        return [
            {
                "targets": [urlsplit(url).netloc],
                "labels": {
                    "__metrics_path__": urlsplit(url).path or "/",
                    "instance": replica,
                    "arm": arm,
                    "replica": replica,
                    "variant": self._names[arm],
                },
            }
            for arm, each in self.pages().items()
            for replica, url in each.items()
        ]

    def _configuration(self) -> dict[str, Any]:
        """Prometheus' own configuration; JSON is YAML."""
        interval = f"{round(self._interval * 1000)}ms"
        every = {"follow_redirects": False, "body_size_limit": MOST_BYTES_A_PAGE}
        cluster = ["envoy_cluster_name"]
        of_an_arm = f"(({'|'.join(ARMS)})-.+)"
        labels = [
            {"source_labels": cluster, "regex": of_an_arm, "target_label": "replica", "replacement": "$1"},
            {"source_labels": cluster, "regex": of_an_arm, "target_label": "arm", "replacement": "$2"},
            *(
                {"source_labels": ["arm"], "regex": arm, "target_label": "variant", "replacement": name}
                for arm, name in self._names.items()
            ),
        ]
        of_a_program: dict[str, Any] = {
            "sample_limit": MOST_SAMPLES,
            "label_limit": MOST_LABELS,
            "label_value_length_limit": LONGEST_LABEL,
            # When a program counted something is when it was asked, whatever it says.
            "honor_timestamps": False,
        }
        return {
            "global": {"scrape_interval": interval, "scrape_timeout": f"{round(self._interval * 800)}ms"},
            "scrape_configs": [
                {
                    "job_name": PROXY_JOB,
                    "metrics_path": "/stats/prometheus",
                    "params": {"filter": [ENVOY_STATS]},
                    "file_sd_configs": [{"files": [str(self._folder / "targets-proxy.json")]}],
                    "metric_relabel_configs": labels,
                    **every,
                },
                {
                    "job_name": REPLICAS_JOB,
                    "file_sd_configs": [{"files": [str(self._folder / "targets-replicas.json")]}],
                    **of_a_program,
                    **every,
                },
                *(
                    {
                        "job_name": f"{PAGES_JOB}-{number}",
                        "scheme": urlsplit(url).scheme,
                        "metrics_path": urlsplit(url).path or "/metrics",
                        "static_configs": [{"targets": [urlsplit(url).netloc]}],
                        **of_a_program,
                        **every,
                    }
                    for number, url in enumerate(self._others)
                ),
            ],
        }
