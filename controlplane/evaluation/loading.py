"""An evaluation from its files: a canary.yml or a file of its own, and the data set beside it.

Called by `serinus eval` and `serinus run` before anything starts. Everything that is wrong with either file is said at
once; a data set is a regular file on this machine, and nothing is fetched.
"""

import hashlib
import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from canary.errors import BadInput, Fault, SpecError
from canary.evaluation.item import Item, parse_items
from canary.evaluation.paired import order_of
from canary.evaluation.plan import Scoring, faults_of, item_faults, scoring_of
from canary.spec import faults as spec_faults
from canary.spec.evaluation import Evaluation
from canary.spec.reader import Node, read
from controlplane import spec_files

MOST_BYTES = 1024 * 1024 * 1024
"""Of a data set."""
OWN_KEYS = {"dataset", "metrics"}
"""What tells an evaluation file from a canary.yml."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An evaluation that can be run."""

    scoring: Scoring
    units: tuple[tuple[Item, ...], ...]
    """The items in the order in which they are asked, those of one group together."""
    model: str
    """The name that the servers are asked for."""
    digest: str
    """Of the data set, the request, the criteria and the scorers: 16 hexadecimal digits."""

    @property
    def items(self) -> int:
        """How many items there are."""
        return sum(len(unit) for unit in self.units)


def load_file(path: Path) -> Loaded:
    """The evaluation in a canary.yml or in a file of its own. Raises `SpecError` and `BadInput`."""
    source = spec_files.read_source(path)
    root, faults = read(source)
    if root is not None and isinstance(root.value, dict) and OWN_KEYS & set(root.plain() or ()):
        if faults:
            raise SpecError(tuple(faults))
        return load(_own(root), path.parent, model=None, root=root)
    document = spec_files.load(path)
    evaluation = document.canary.spec.evaluation
    if evaluation is None:
        raise BadInput(f"{path} has no evaluation: nothing was asked. docs/evaluation.md shows what one looks like.")
    return load(
        evaluation, path.parent, model=document.canary.spec.model.name, root=document.root, below=("spec", "evaluation")
    )


def load(
    evaluation: Evaluation,
    folder: Path,
    *,
    model: str | None,
    root: Node | None = None,
    below: tuple[str | int, ...] = (),
) -> Loaded:
    """The evaluation with its data set, a file in `folder`. Raises `SpecError` and `BadInput` with every fault."""
    found = list(faults_of(evaluation))
    if found and root is not None:
        raise SpecError(tuple(_fault(root, (*below, *path), message) for path, message in found))
    if found:
        raise BadInput("\n".join(f"evaluation.{spec_faults.dotted(path)}: {message}" for path, message in found))
    asked_for = evaluation.request.model or model
    if asked_for is None:
        message = "request.model is missing: write the name of the model that both servers are asked for"
        if root is not None:
            raise SpecError((_fault(root, below, message),))
        raise BadInput(f"evaluation: {message}")
    file = folder / evaluation.dataset.removeprefix("file://")
    items, content = _items(file)
    if unscored := item_faults(evaluation, items):
        raise BadInput("\n".join(f"{file}: {fault}" for fault in unscored[:100]))
    scoring = scoring_of(evaluation)
    told = evaluation.model_dump(mode="json", exclude={"dataset", "on_fail"})
    digest = hashlib.sha256(json.dumps([content, told, asked_for], sort_keys=True).encode()).hexdigest()[:16]
    return Loaded(scoring, order_of(items), asked_for, digest)


def _own(root: Node) -> Evaluation:
    try:
        return Evaluation.model_validate(root.plain(), by_alias=True, by_name=False)
    except ValidationError as error:
        raise SpecError(tuple(spec_faults.faults_of(error, root, Evaluation))) from None


def _fault(root: Node, path: tuple[str | int, ...], message: str) -> Fault:
    return spec_faults.place_of(root, path).fault(spec_faults.dotted(path), message)


def _items(file: Path) -> tuple[tuple[Item, ...], str]:
    """The items of a data set and the digest of its bytes. Raises `BadInput` naming every bad line."""
    seen = hashlib.sha256()

    def lines(opened: Any) -> Any:
        read_so_far = 0
        for line in opened:
            read_so_far += len(line)
            if read_so_far > MOST_BYTES:
                raise BadInput(f"The data set {file} has more than {MOST_BYTES} bytes; split it.")
            seen.update(line)
            yield line

    try:
        # A pipe or device could block or never end, so only files are opened.
        if not stat.S_ISREG(file.stat().st_mode):
            raise BadInput(f"The data set {file} is not a regular file.")
        with file.open("rb") as opened:
            items, faults = parse_items(lines(opened))
    except FileNotFoundError:
        raise BadInput(f"The data set {file} does not exist.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"The data set {file} cannot be read: {reason}.") from None
    if faults:
        raise BadInput("\n".join(f"{file}: {fault}" for fault in faults))
    return items, seen.hexdigest()
