"""The judge's arithmetic: right to some fifteen digits, and the same to the last bit on every processor."""

import ast
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists, one_of
from scipy import special

import canary.judge
from canary.judge import portable_math as portable

ROOT = Path(__file__).parents[3]
PACKAGE = Path(canary.judge.__file__).parent
PRECISE = 5e-15
LIBM = {"exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "pow", "erf", "erfc", "gamma", "lgamma", "cbrt"}
OWN = "portable_math.py"
GLIBC_PLAIN = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-FMA,-FMA4"


@given(floats(-700, 700))
def test_exp_is_precise(x: float) -> None:
    assert portable.exp(x) == pytest.approx(math.exp(x), rel=PRECISE)


@given(one_of(floats(1e-300, 1e300), floats(0.5, 2), floats(1 - 1e-6, 1 + 1e-6)))
def test_log_is_precise(x: float) -> None:
    assert portable.log(x) == pytest.approx(math.log(x), rel=PRECISE, abs=1e-300)


@given(one_of(floats(-0.999, 1e6), floats(-0.1, 0.1), floats(-1e-12, 1e-12)))
def test_log1p_and_expm1_are_precise_near_zero_too(x: float) -> None:
    assert portable.log1p(x) == pytest.approx(math.log1p(x), rel=PRECISE, abs=1e-300)
    if x < 700:
        assert portable.expm1(x) == pytest.approx(math.expm1(x), rel=PRECISE, abs=1e-300)


@given(floats(1e-3, 1e3), floats(-3, 3))
def test_a_power_is_precise(base: float, exponent: float) -> None:
    assert portable.power(base, exponent) == pytest.approx(base**exponent, rel=1e-14)


@given(one_of(floats(0, 5), floats(0, 50)))
def test_the_scaled_error_function_agrees_with_scipy(x: float) -> None:
    assert portable.scaled_erfc(x) == pytest.approx(float(special.erfcx(x)), rel=PRECISE)


@given(one_of(floats(0.5, 20), floats(0.5, 1e7)))
def test_the_log_of_the_gamma_function_agrees_with_scipy(x: float) -> None:
    assert portable.log_gamma(x) == pytest.approx(float(special.gammaln(x)), rel=1e-13, abs=1e-13)


@given(lists(floats(-600, 600), min_size=1, max_size=20))
def test_the_log_of_a_sum_agrees_with_scipy(logs: list[float]) -> None:
    assert portable.log_sum(logs) == pytest.approx(float(special.logsumexp(logs)), rel=1e-14, abs=1e-13)


@pytest.mark.parametrize("x", [0.0, -1.0, -math.inf, math.inf, math.nan])
def test_there_is_no_logarithm_of_what_has_none(x: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        portable.log(x)


def test_beyond_what_floats_can_tell_apart_the_exponential_is_held() -> None:
    assert portable.exp(1e9) == portable.exp(portable.LARGEST) < math.inf
    assert portable.exp(-1e9) == portable.exp(portable.SMALLEST) > 0


def test_the_judge_uses_nothing_that_the_processor_decides() -> None:
    """No function of the C library's but exact ones, no `**` but squares, no `sum` of floats, no numpy."""
    found = [
        f"{path.name}:{line}: {what}"
        for path in PACKAGE.glob("*.py")
        for line, what in _decided_elsewhere(ast.parse(path.read_text()), path.name)
    ]
    assert found == []


def _decided_elsewhere(tree: ast.AST, name: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("math"), str(attribute)) if attribute in LIBM:
                yield node.lineno, f"math.{attribute}"
            case ast.ImportFrom("math", names) if {each.name for each in names} & LIBM:
                yield node.lineno, "a function of math"
            case ast.Import(names) if {"numpy", "cmath"} & {each.name for each in names}:
                yield node.lineno, "numpy"
            case ast.BinOp(op=ast.Pow(), right=right) if (
                not isinstance(right, ast.Constant) and name != "portable_math.py"
            ):
                yield node.lineno, "**"
            case ast.Call(ast.Name("sum")) if name != "feed.py":  # there only whether the sum is finite counts
                yield node.lineno, "sum"


def _judged(environment: dict[str, str]) -> Any:
    """What `anywhere.py` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.canary.judge.anywhere"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _dispatched() -> list[str]:
    """What numpy chooses by processor, and has chosen here; it refuses to switch off what it needs everywhere."""
    return list(np.show_config(mode="dicts")["SIMD Extensions"]["found"])


def test_states_are_the_same_to_the_last_bit_whatever_the_processor_can_do() -> None:
    """Twelve rollouts of 170 random blocks, through every kind of gate, with instruction sets switched off in turn."""
    here = _judged({})
    features = _dispatched()
    wide = [name for name in features if "AVX512" in name or name == "X86_V4"]
    switched = [
        _judged({"NPY_DISABLE_CPU_FEATURES": " ".join(wide)}),
        _judged({"NPY_DISABLE_CPU_FEATURES": " ".join(features)}),
        _judged({"GLIBC_TUNABLES": GLIBC_PLAIN}),
        _judged({"GLIBC_TUNABLES": GLIBC_PLAIN, "NPY_DISABLE_CPU_FEATURES": " ".join(features)}),
    ]
    for other in switched:
        assert other["states"] == here["states"]
    if wide:
        assert switched[0]["elsewhere"]["numpy"] != here["elsewhere"]["numpy"], "the switch does nothing"
    if platform.libc_ver()[0] == "glibc" and " fma " in Path("/proc/cpuinfo").read_text():
        assert switched[2]["elsewhere"]["libm"] != here["elsewhere"]["libm"], "the switch does nothing"
