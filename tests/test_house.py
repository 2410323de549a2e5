"""The house rules that no linter knows: documents that come from the code, mirrors, and words that nobody wants."""

import ast
import re
from pathlib import Path

from canary.transitions import TRANSITIONS

ROOT = Path(__file__).parent.parent


def phase_diagram() -> str:
    """The table of transitions as a mermaid diagram; the common way back is drawn once."""
    lines = ["stateDiagram-v2", "    [*] --> Pending"]
    for before, followers in TRANSITIONS.items():
        lines += [f"    {before} --> {after}" for after in followers]
        if not followers:
            lines.append(f"    {before} --> [*]")
    return "\n".join(lines)


def test_r15_the_phase_diagram_in_the_docs_is_the_table() -> None:
    """docs/architecture.md shows what canary/transitions.py says."""
    assert phase_diagram() in (ROOT / "docs" / "architecture.md").read_text()


def test_every_module_says_what_it_is() -> None:
    """Each module opens with a paragraph."""
    silent = [
        str(path.relative_to(ROOT))
        for package in ("canary", "profiles", "controlplane", "testing", "tests", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
        if path.read_text().strip() and not path.read_text().lstrip().startswith(('"""', "#!", 'r"""'))
    ]
    assert silent == []


def test_every_test_file_mirrors_a_module() -> None:
    """`tests/canary/test_machine.py` tests `canary/machine.py`; `…_real.py` beside it with the real libraries,
    `…_property.py` by random stories. A script of the page is a module too, and so is a page without one.
    """
    strays = []
    for package in ("canary", "profiles", "controlplane", "testing"):
        for path in (ROOT / "tests" / package).rglob("test_*.py"):
            name = path.stem.removeprefix("test_").removesuffix("_real").removesuffix("_property")
            module = (ROOT / path.relative_to(ROOT / "tests")).with_name(f"{name}.py")
            kinds = [module.with_suffix(suffix) for suffix in (".py", ".js", ".html")]
            if not any(kind.exists() for kind in kinds) and not module.with_suffix("").is_dir():
                strays.append(str(path.relative_to(ROOT)))
    assert strays == []


def test_every_module_has_tests_of_its_own_or_names_the_file_that_covers_it() -> None:
    """The other way round. `tests/house/covered_elsewhere.txt` names the covering file; that list may only get shorter.

    A module without functions holds values alone and needs no tests.
    """
    covered = {}
    for path in _product():
        names = [f"test_{path.stem}{kind}.py" for kind in ("", "_real", "_property")]
        has_own = any((ROOT / "tests" / path.parent / name).exists() for name in names)
        tree = ast.parse((ROOT / path).read_text())
        acts = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))
        if path.name != "__init__.py" and acts and not has_own:
            covered[str(path)] = True
    listed = _listed("covered_elsewhere.txt")
    assert sorted(set(covered) - set(listed)) == [], "give each of these a test file"
    assert sorted(set(listed) - set(covered)) == [], "these have tests of their own now: take them off the list"
    assert [tests for tests in listed.values() if not (ROOT / tests).exists()] == []


def test_a_public_class_name_means_one_thing() -> None:
    """No two classes share a name, but for those in `tests/house/shared_names.txt`; that list may only get shorter."""
    found: dict[str, list[str]] = {}
    for path in _product():
        for node in ast.parse((ROOT / path).read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(path))
    shared = {name: ", ".join(sorted(paths)) for name, paths in found.items() if len(paths) > 1}
    assert shared == _listed("shared_names.txt")


def _product() -> list[Path]:
    """Every module of the product, from the repository's root."""
    packages = ("canary", "profiles", "controlplane")
    return [path.relative_to(ROOT) for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def _listed(name: str) -> dict[str, str]:
    """One list of exceptions: `key: value` on each line."""
    lines = (ROOT / "tests" / "house" / name).read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


def test_every_promise_of_the_table_has_tests_and_every_such_test_a_promise() -> None:
    """CONTRIBUTING.md lists S1 to S14 and R1 to R15; tests bear the id in their names: `test_s4_…`."""
    table = re.findall(
        r"^\| ([SR]\d+) \| .+ \| `pytest -k (\w+)` \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    promised = [f"{kind}{number}" for kind, last in (("S", 14), ("R", 15)) for number in range(1, last + 1)]
    assert table == [(each, f"{each.lower()}_") for each in promised]
    tested = {
        found[1].upper()
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (found := re.match(r"test_([sr]\d+)_", node.name))
    }
    assert sorted(set(promised) ^ tested) == []


def test_every_command_has_a_file_and_a_line_of_help() -> None:
    """The table of commands is the command line."""
    from controlplane.cli.main import COMMANDS

    for module, line in COMMANDS.values():
        assert (ROOT / (module.partition(":")[0].replace(".", "/") + ".py")).exists(), module
        assert line.endswith(".")


def test_every_file_is_small_enough_for_one_sitting() -> None:
    """450 lines at the most."""
    long = [
        str(path.relative_to(ROOT))
        for package in ("canary", "profiles", "controlplane", "testing", "tests", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
        if len(path.read_text().splitlines()) > 450
    ]
    assert long == []


def test_only_one_module_words_numbers_with_their_units() -> None:
    """`canary.format`, so that a value reads the same everywhere. Not held to it: evaluations and GPU reports."""
    by_hand = re.compile(r":,?\.[0-9][fg]\} ?(%|ms\b|s\b|min\b)|:\.[0-9]%\}|\$\{[^}]*:,?\.[0-9][fg]\}")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("canary", "controlplane")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != ROOT / "canary" / "format.py" and not {"profiles", "evaluation", "simulation"} & set(path.parts)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if by_hand.search(line) and path.name != "evaluate.py"
    ]
    assert found == []


def test_r15_the_documents_name_every_command_that_exists() -> None:
    """README speaks of each command."""
    from controlplane.cli.main import COMMANDS

    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if not re.search(rf"serinus {name}\b", readme)] == []
