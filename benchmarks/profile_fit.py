"""Fits the constants of `profiles.constants` to the public measurements, and says how well they do on points they
have not seen.

    python benchmarks/profile_fit.py                    # fit; print constants and errors in sample
    python benchmarks/profile_fit.py --held-out         # also five-fold over deployments, and one lab left out at a
    time python benchmarks/profile_fit.py --held-out --write # put constants and held-out predictions where package
    and tests read them

A robust least-squares fit of log(predicted / measured) with weak priors towards the starting values, so that
constants with few points behind them stay where hardware knowledge put them. Deterministic. Needs scipy (a
development dependency); some minutes with `--held-out`.
"""

import argparse
import csv
import math
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from profiles.catalogue import builtin
from profiles.constants import FITTED, Constants, changed, flat
from profiles.points import MeasuredPoint, harness, predicted, read_points
from profiles.validation import calibrated, error_table

Vector = npt.NDArray[np.float64]
ROOT = Path(__file__).parents[1]
TABLE = ROOT / "profiles" / "constants.py"
DATA = ROOT / "tests" / "profiles" / "data" / "profile_points.csv"
HELD_OUT = DATA.with_name("held_out.csv")
SCALE = {"itl": 0.08, "throughput": 0.10, "ttft": 0.20}
"""Residuals beyond this (in log) count by their size, no longer by their square: labs make mistakes."""
STEP = 1e-4
PRIOR = 0.5
"""Standard deviation (in log) of a constant around its starting value."""
START = {
    "bandwidth_efficiency": 0.925,
    "kv_efficiency": 0.93,
    "fp16_efficiency": 0.69,
    "fp8_efficiency": 0.66,
    "int8_efficiency": 0.31,
    "fp4_efficiency": 0.43,
    "moe_compute": 0.53,
    "step_layer": 2e-05,
    "prompt_layer": 0.00029,
    "attention_efficiency": 0.6,
    "alpha_nvlink": 9e-06,
    "alpha_pcie": 1.8e-05,
    "link_efficiency": 0.38,
    "prompt_reduce": 0.8,
    "prompt_token": 3e-06,
    "server_host": 3.5,
    "queue": 0.16,
    "kernels.fp8/bandwidth": 0.86,
    "kernels.int8/bandwidth": 0.95,
    "kernels.w8a16/compute": 0.5,
    "kernels.w4a16/compute": 0.25,
    "kernels.nvfp4/bandwidth": 0.59,
    "kernels.mxfp4/bandwidth": 0.81,
    "kernels.mxfp4/compute": 0.65,
    "kernels.gguf/bandwidth": 0.95,
    "kernels.bnb-nf4/bandwidth": 0.44,
    "kernels.bnb-nf4/layer": 0.0002,
    "kernels.bnb-int8/bandwidth": 0.95,
    "kernels.bnb-int8/layer": 0.001,
    "engines.vllm/step": 0.00112,
    "engines.vllm/first_token": 0.01,
    "engines.vllm/sequence": 1.5e-05,
    "engines.vllm-v0/step": 0.0032,
    "engines.vllm-v0/first_token": 0.02,
    "engines.vllm-v0/sequence": 1.5e-05,
    "engines.trtllm/step": 0.00041,
    "engines.trtllm/first_token": 0.02,
    "engines.trtllm/sequence": 5e-06,
    "engines.trtllm-old/step": 0.00041,
    "engines.trtllm-old/first_token": 0.005,
    "engines.trtllm-old/sequence": 1.5e-05,
    "engines.trtllm-old/reduce": 2,
    "engines.sglang/step": 0.00112,
    "engines.sglang/first_token": 0.02,
    "engines.sglang/sequence": 1.5e-05,
    "engines.llama.cpp/step": 0.00041,
    "engines.llama.cpp/bandwidth": 0.8,
    "engines.transformers/step": 0.001,
    "engines.transformers/sequence": 0.0001,
    "engines.transformers/host_layer": 0.00015,
    "waves.random": 0.12,
    "waves.fixed": 0.5,
    "waves.batch": 1.5,
}
"""Where the fit begins and where its priors sit: what data sheets and earlier fits suggest. Constants that are not
named here only trade off against another one, or no point of the file speaks to them; they stay as they are in the
table."""


def points() -> list[MeasuredPoint]:
    """The rows of the CSV."""
    with DATA.open(newline="", encoding="utf-8") as file:
        found, skipped = read_points(csv.DictReader(file), builtin())
    if skipped:
        raise SystemExit("\n".join(skipped))
    return found


def fit(rows: Sequence[MeasuredPoint]) -> Constants:
    """The constants that these rows suggest."""
    names = list(START)
    centre = np.log(list(START.values()))
    touched = [np.flatnonzero([speaks_to(row, name) for row in rows]) for name in names]

    def constants(shift: Vector) -> Constants:
        return changed(FITTED, dict(zip(names, np.exp(centre + shift).tolist(), strict=True)))

    def scaled(shift: Vector, chosen: Sequence[MeasuredPoint]) -> Vector:
        numbers = constants(shift)
        logs = np.array([math.log(predicted(row, numbers) / row.value) / SCALE[row.kind] for row in chosen])
        robust: Vector = np.sign(logs) * np.sqrt(2 * (np.sqrt(1 + logs**2) - 1))
        return robust

    def residuals(shift: Vector) -> Vector:
        return np.concatenate([scaled(shift, rows), shift / PRIOR])

    def slopes(shift: Vector) -> Vector:
        here = scaled(shift, rows)
        matrix = np.zeros((len(rows), len(names)))
        for column, chosen in enumerate(touched):
            there = shift.copy()
            there[column] += STEP
            matrix[chosen, column] = (scaled(there, [rows[int(index)] for index in chosen]) - here[chosen]) / STEP
        return np.vstack([matrix, np.eye(len(names)) / PRIOR])

    upper = np.array([_ceiling(name, START[name]) for name in names])
    found = least_squares(residuals, np.zeros(len(names)), slopes, bounds=(-np.inf, upper), max_nfev=25, ftol=1e-4)
    return constants(found.x)


def speaks_to(row: MeasuredPoint, name: str) -> bool:
    """Whether this row's prediction can depend on the constant."""
    deployment = row.deployment
    part, _, rest = name.partition(".")
    match part:
        case "kernels":
            return rest.split("/")[0] == deployment.kernel
        case "engines":
            return rest.split("/")[0] == deployment.engine.family
        case "waves":
            return rest == harness(row)
        case "moe_compute":
            return deployment.model.experts > 1
        case "alpha_nvlink" | "alpha_pcie" | "link_efficiency" | "prompt_reduce":
            return deployment.gpus > 1
        case _:
            return True


def _ceiling(name: str, value: float) -> float:
    """How far (in log) a constant may rise: a share of a peak stays below 1."""
    if name.startswith("waves."):
        return math.log(2 / value)
    share = (
        "efficiency" in name or name.endswith(("/bandwidth", "/compute")) or name in {"moe_compute", "prompt_reduce"}
    )
    ceiling = (
        0.85 if name.endswith(("fp16_efficiency", "fp8_efficiency", "int8_efficiency", "fp4_efficiency")) else 0.95
    )
    return max(math.log(ceiling / value), 1e-3) if share else math.inf


def folds(rows: Sequence[MeasuredPoint], count: int = 5) -> list[list[MeasuredPoint]]:
    """Deployments dealt out in order of their names, so that all points of one are in one fold."""
    groups = sorted({row.group for row in rows}, key=str)
    place = {group: index % count for index, group in enumerate(groups)}
    return [[row for row in rows if place[row.group] == fold] for fold in range(count)]


def labs(rows: Sequence[MeasuredPoint]) -> list[list[MeasuredPoint]]:
    """The points of each lab."""
    names = sorted({row.group[-1] for row in rows})
    return [[row for row in rows if row.group[-1] == name] for name in names]


def held_out(parts: Sequence[Sequence[MeasuredPoint]]) -> dict[int, float]:
    """Line of the CSV to the prediction by constants that were fitted without that line's part."""
    found: dict[int, float] = {}
    for index, part in enumerate(parts):
        constants = fit([row for other, rows in enumerate(parts) if other != index for row in rows])
        found |= {row.line: predicted(row, constants) for row in part}
    return found


def report(title: str, pairs: Iterable[tuple[MeasuredPoint, float]], own_points: int = 0) -> str:
    """The error table as text, with the factor that holds 80 % of each class."""
    pairs = list(pairs)
    lines = [title]
    for line in error_table(pairs, own_points):
        logs = [abs(math.log(value / row.value)) for row, value in pairs if line.name in {"all", row.kind}]
        factor = math.exp(statistics.quantiles(logs, n=10)[7])
        lines.append(
            f"  {line.name:<11} n {line.n:>3}  median {line.median:6.1%}  p90 {line.p90:6.1%}"
            f"  inside {line.covered:6.1%}  80 % within a factor {factor:.2f}"
        )
    return "\n".join(lines)


def written(source: str, constants: Constants) -> str:
    """The text of profiles/constants.py with these numbers in place of its own, three digits each."""
    for name in START:
        number = f"{flat(constants)[name]:.3g}"
        group, _, rest = name.partition(".")
        if group in {"kernels", "engines"}:
            row, part = rest.split("/")
            pattern = rf'("{re.escape(row)}": (?:Kernel|EngineCosts)\(.*?\b{part}=)[\d.e-]+'
        elif group == "waves":
            pattern = rf'("{rest}": )[\d.e-]+(?=[,}}])'
        else:
            pattern = rf"(\n    {name}: float = )[\d.e-]+"
        source, count = re.subn(pattern, rf"\g<1>{number}", source)
        if count != 1:
            raise SystemExit(f"{name} stands {count} times in {TABLE}, expected once")
    return source


def main() -> None:
    """Fit, report, and write when asked."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument(
        "--held-out", action="store_true", help="also fit without each fifth of the deployments and each lab in turn"
    )
    options.add_argument(
        "--write", action="store_true", help="put the results where the package and its tests read them"
    )
    chosen = options.parse_args()
    rows = points()
    fitted = fit(rows)
    for name, value in flat(fitted).items():
        if name in START:
            print(f"{name:<36} {START[name]:.4g} -> {value:.4g}")
    print(report("in sample", [(row, predicted(row, fitted)) for row in rows]))
    print(report("two-point calibration", calibrated(rows, lambda row: predicted(row, fitted)), own_points=2))
    if chosen.write:
        TABLE.write_text(written(TABLE.read_text("utf-8"), fitted), "utf-8")
    if chosen.held_out:
        by_fold, by_lab = held_out(folds(rows)), held_out(labs(rows))
        print(report("five-fold over deployments", [(row, by_fold[row.line]) for row in rows]))
        print(report("one lab left out", [(row, by_lab[row.line]) for row in rows]))
        if chosen.write:
            with HELD_OUT.open("w", newline="", encoding="utf-8") as file:
                lines = csv.writer(file, lineterminator="\n")
                lines.writerow(("line", "without_its_fold", "without_its_lab"))
                lines.writerows((row.line, f"{by_fold[row.line]:.5g}", f"{by_lab[row.line]:.5g}") for row in rows)


if __name__ == "__main__":
    main()
