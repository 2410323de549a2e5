"""How often an evaluation is right, and how early: thousands of simulated ones a cell, through the test itself.

    .venv/bin/python benchmarks/evaluation.py [--runs 10000] [--seed 1]

Prints the table of docs/evaluation.md. `discordant` is the share of items with different scores, `drop` what the canary
loses. Clumped items come in groups of five of which each follows its group's first with a chance of 0.3. `naive` is the
rule "blocked if the canary's score is below stable's". Exits with 1 where an identical build is blocked more often than
`FALSE_BLOCK`, beyond what the number of runs explains.
"""

import argparse
import math
import random
import sys
from dataclasses import dataclass
from statistics import median

from canary.evaluation.criterion import FALSE_BLOCK, CriterionTest, Design, Pair, planned_drop
from canary.spec.criterion import criterion
from canary.verdict import GateAnswer

GROUP, FOLLOWS = 5, 0.3
LINE = criterion("exact >= stable")
PAIRS = {-1: Pair(0.0, 1.0), 0: Pair(1.0, 1.0), 1: Pair(1.0, 0.0)}


@dataclass(frozen=True)
class Cell:
    """One row of the table."""

    items: int
    drop: float
    discordant: float = 0.1
    clumped: bool = False


CELLS = (
    *(Cell(items, 0.0) for items in (20, 50, 100, 200, 500, 1_000, 5_000)),
    *(Cell(items, 0.0, 0.3) for items in (20, 200, 1_000)),
    *(Cell(items, 0.0, clumped=True) for items in (200, 1_000)),
    *(Cell(items, planned_drop(Design(items, items, 1)) or 1.0) for items in (20, 50, 200, 1_000)),
    Cell(500, 0.08),
    Cell(1_000, 0.05),
    Cell(500, 0.08, clumped=True),
    Cell(1_000, 0.05, clumped=True),
)


def simulate(cell: Cell, runs: int, chance: random.Random) -> tuple[float, float, float, float]:
    """Shares of FAIL and PASS, the median share of items asked, and how often the naive rule blocks."""
    size = GROUP if cell.clumped else 1
    design = Design(cell.items, cell.items // size, size)
    apart = max(cell.discordant, cell.drop)
    worse = (apart + cell.drop) / 2
    failed = passed = naive = 0
    asked: list[int] = []
    for _ in range(runs):
        test, total, ended = CriterionTest(LINE, design), 0, cell.items
        for n in range(size, cell.items + 1, size):
            unit: list[int] = []
            for _ in range(size):
                if unit and chance.random() < FOLLOWS:
                    unit.append(unit[0])
                else:
                    u = chance.random()
                    unit.append(-1 if u < worse else 1 if u < apart else 0)
            total += sum(unit)
            if n <= ended:
                test.add([PAIRS[each] for each in unit])
                ended = n if test.decided else ended
        test.finish()
        asked.append(ended)
        failed += test.answer is GateAnswer.FAIL
        passed += test.answer is not GateAnswer.FAIL
        naive += total < 0
    return failed / runs, passed / runs, median(asked) / cell.items, naive / runs


def main() -> int:
    """Print the table; 1 where the promise is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    broken = False
    print("| items | drop | discordant | items come | blocked | median asked | naive rule blocks |")
    print("|---|---|---|---|---|---|---|")
    for number, cell in enumerate(CELLS):
        chance = random.Random(given.seed * 1_000 + number)
        failed, _, asked, naive = simulate(cell, given.runs, chance)
        come = f"in fives, {FOLLOWS:.0%} follow" if cell.clumped else "alone"
        drop = f"{100 * cell.drop:.1f} points" if cell.drop else "none"
        print(
            f"| {cell.items} | {drop} | {cell.discordant:.0%} | {come} | {failed:.2%} | {asked:.0%} | {naive:.0%} |",
            flush=True,
        )
        spread = 3 * math.sqrt(FALSE_BLOCK / given.runs)
        broken |= not cell.drop and failed > FALSE_BLOCK + spread
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
