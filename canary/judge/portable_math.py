"""Exponentials, logarithms and the error function that come out the same, bit for bit, on every processor.

Used in all of `canary/judge` instead of those of `math`. A state must not depend on where it was worked out: a leader
on another node goes on with it, and a replay has to come to the same decisions. What `math.exp`, `log`, `log1p`,
`erfc` and `**` answer depends in the last bit on the C library and on the processor that it finds (glibc chooses
variants with fused multiply-add at run time); what numpy makes of them depends on the width of its vectors. Sums,
products, quotients, square roots, `frexp` and `ldexp` do not: IEEE 754 defines them to the last bit, and Python
computes them one at a time. So these functions are made of nothing else. They are right to some fifteen digits. `sum`
of floats is avoided for the same reason: from Python 3.12 on it rounds differently. `math.fsum` is exact.
"""

import math
from collections.abc import Sequence
from decimal import Context, Decimal
from math import frexp, ldexp

_PRECISE = Context(prec=25)
_LOG_TWO = _PRECISE.ln(Decimal(2))
LOG_TWO = float(_LOG_TWO)


def _head(value: Decimal, bits: int) -> float:
    """The value cut off after so many binary places, so that small multiples of it are exact."""
    return ldexp(math.floor(value * 2**bits), -bits)


# exp(x) is a power of two, from a table in steps of 1/64, times a polynomial in what is left.
_STEPS = 64
_POWERS = [float(_PRECISE.exp(_LOG_TWO * i / _STEPS)) for i in range(_STEPS)]
_STEPS_A_NAT = float(_STEPS / _LOG_TWO)
_STEP = _head(_LOG_TWO / _STEPS, 37)
_STEP_REST = float(_LOG_TWO / _STEPS - Decimal(_STEP))
_NEAREST = 1.5 * 2.0**52
"""Added and taken away again, it leaves the nearest integer."""
LARGEST, SMALLEST = 709.0, -708.0
"""Arguments of `exp` are held between these; nothing in the judge tells numbers apart out there."""

# log(x) is its exponent, the logarithm of the nearest of 32 tabulated values, and a series in what is left.
_PLACES = 64
_INVERSES = [0.0] * 32 + [round(2**14 / (2 * i + 1)) / 2**7 for i in range(32, _PLACES)]
_LOGS = [0.0] * 32 + [float(-_PRECISE.ln(Decimal(each))) for each in _INVERSES[32:]]
_LOG_TWO_HEAD = _head(_LOG_TWO, 42)
_LOG_TWO_REST = float(_LOG_TWO - Decimal(_LOG_TWO_HEAD))
_NEAR_ONE = 0.0625
"""Distance from 1 within which the series alone gives the logarithm, or its leading digits would cancel."""


def exp(x: float) -> float:
    """`e ** x`, held at both ends of what floats can tell apart."""
    return exps((x,))[0]


def exps(several: Sequence[float]) -> list[float]:
    """`exp` of each."""
    steps, step, rest, table = _STEPS_A_NAT, _STEP, _STEP_REST, _POWERS
    found = []
    for x in several:
        if x > LARGEST:
            x = LARGEST  # noqa: PLW2901 - held, as said
        elif x < SMALLEST:
            x = SMALLEST  # noqa: PLW2901 - held, as said
        n = x * steps + _NEAREST - _NEAREST
        r = x - n * step - n * rest
        i = int(n)
        power = table[i & 63]
        power += power * (r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120))))))
        found.append(ldexp(power, i >> 6))
    return found


def log(x: float) -> float:
    """Natural logarithm of a number above 0; raises ValueError for others."""
    return _logs((x,), beside_one=False)[0]


def log1p(x: float) -> float:
    """`log(1 + x)`, exact also for small x; raises ValueError for -1 and less."""
    return _logs((x,), beside_one=True)[0]


def log1ps(several: Sequence[float]) -> list[float]:
    """`log1p` of each."""
    return _logs(several, beside_one=True)


def _logs(several: Sequence[float], *, beside_one: bool) -> list[float]:
    """Logarithms of these, or of what is so far from one."""
    inverses, logs, head, tail = _INVERSES, _LOGS, _LOG_TWO_HEAD, _LOG_TWO_REST
    found = []
    for given in several:
        f = given if beside_one else given - 1
        if -_NEAR_ONE < f < _NEAR_ONE:
            s = f / (2 + f)
            z = s * s
            found.append(s * (2 + z * (2 / 3 + z * (2 / 5 + z * (2 / 7 + z * (2 / 9 + z * (2 / 11)))))))
            continue
        x = 1 + f if beside_one else given
        if x <= 0:
            raise ValueError(f"there is no logarithm of {x!r}")
        m, e = frexp(x)
        i = int(m * 64)
        r = m * inverses[i] - 1
        s = r / (2 + r)
        z = s * s
        rest = s + s * (1 + z * (2 / 3 + z * (2 / 5 + z * (2 / 7))))
        found.append(e * head + (logs[i] + (rest + e * tail)))
    return found


def power(base: float, exponent: float) -> float:
    """`base ** exponent` for a base above 0."""
    return exp(exponent * log(base))


def powers(bases: Sequence[float], exponent: float) -> list[float]:
    """`power` of each."""
    return exps([exponent * each for each in _logs(bases, beside_one=False)])


def expm1(x: float) -> float:
    """`exp(x) - 1`, exact also for small x."""
    y = exp(x)
    return x if y == 1 else (y - 1) * x / log(y)  # Kahan's: what rounding took from y, it took from its logarithm


def log_sum(logs: Sequence[float]) -> float:
    """Logarithm of the sum of the numbers whose logarithms these are; there is at least one."""
    top = max(logs)
    return top + log(math.fsum(exps([each - top for each in logs])))


def log_gamma(x: float) -> float:
    """Logarithm of the gamma function for x above 0: Stirling's series, from 10 on."""
    product = 1.0
    while x < 10:
        product *= x
        x += 1
    y = 1 / (x * x)
    series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y * (1 / 1188))))) / x
    return (x - 0.5) * log(x) - x + _HALF_LOG_TWO_PI + series - log(product)


_HALF_LOG_TWO_PI = 0.5 * log(2 * math.pi)
_ROOT_PI_INVERSE = 1 / math.sqrt(math.pi)


def scaled_erfc(x: float) -> float:
    """`exp(x * x) * erfc(x)` for x of 0 and more.

    W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23 (1969).
    """
    if x <= 0.46875:
        y = x * x
        over = y * (1.85777706184603153e-1 * y + 3.16112374387056560e0) + 1.13864154151050156e2
        over = y * (over * y + 3.77485237685302021e2) + 3.20937758913846947e3
        under = y * (y + 2.36012909523441209e1) + 2.44024637934444173e2
        under = y * (under * y + 1.28261652607737228e3) + 2.84423683343917062e3
        return exp(y) * (1 - x * over / under)
    if x <= 4:
        over = x * (2.15311535474403846e-8 * x + 5.64188496988670089e-1) + 8.88314979438837594e0
        over = x * (over * x + 6.61191906371416295e1) + 2.98635138197400131e2
        over = x * (over * x + 8.81952221241769090e2) + 1.71204761263407058e3
        over = x * (over * x + 2.05107837782607147e3) + 1.23033935479799725e3
        under = x * (x + 1.57449261107098347e1) + 1.17693950891312499e2
        under = x * (under * x + 5.37181101862009858e2) + 1.62138957456669019e3
        under = x * (under * x + 3.29079923573345963e3) + 4.36261909014324716e3
        under = x * (under * x + 3.43936767414372164e3) + 1.23033935480374942e3
        return over / under
    y = 1 / (x * x)
    over = y * (1.63153871373020978e-2 * y + 3.05326634961232344e-1) + 3.60344899949804439e-1
    over = y * (over * y + 1.25781726111229246e-1) + 1.60837851487422766e-2
    over = y * over + 6.58749161529837803e-4
    under = y * (y + 2.56852019228982242e0) + 1.87295284992346047e0
    under = y * (under * y + 5.27905102951428412e-1) + 6.05183413124413191e-2
    under = y * under + 2.33520497626869185e-3
    return (_ROOT_PI_INVERSE - y * over / under) / x
