"""Evaluations for tests: their files, loaded, and both sides of one."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from canary.weights import Arm
from controlplane.evaluation.endpoint import ChatEndpoint, open_http
from controlplane.evaluation.loading import Loaded
from controlplane.evaluation.runner import Side
from tests.controlplane.evaluation.chat_server import ChatServer

EXACT = ("contains >= stable",)


def write(
    folder: Path, items: int = 60, *, metrics: Sequence[str] = EXACT, lines: Sequence[str] = (), **more: Any
) -> Path:
    """An evaluation file and its data set in this folder."""
    rows = lines or [
        json.dumps({"id": f"i{n}", "prompt": f"Say word{n}", "expected": f"word{n}"}) for n in range(items)
    ]
    (folder / "items.jsonl").write_text("\n".join(rows) + "\n")
    request = {"model": "m", "inFlight": 8, "timeout": "5s"} | more.pop("request", {})
    file = folder / "evaluation.yml"
    file.write_text(yaml.safe_dump({"dataset": "items.jsonl", "metrics": list(metrics), "request": request, **more}))
    return file


async def _at_once(_seconds: float) -> None:
    """Instead of a pause between two tries."""


@asynccontextmanager
async def sides(loaded: Loaded, servers: Mapping[Arm, ChatServer]) -> AsyncIterator[dict[Arm, Side]]:
    """Both variants, with no pause before a question is asked again."""
    evaluation = loaded.scoring.evaluation
    http = open_http(evaluation)

    def endpoint(arm: Arm, server: ChatServer) -> ChatEndpoint:
        return ChatEndpoint(arm, lambda: [server.url], http, evaluation, sleep=_at_once)

    try:
        yield {arm: Side(endpoint(arm, server), f"at {server.url}") for arm, server in servers.items()}
    finally:
        await http.close()
