"""`serinus judge`: the judge alone. Blocks of counts in, one a line; verdicts out, one a line.

For backtests and experiments: no rollout is carried out and nothing is kept. The lines are a contract with other tools
(`docs/contracts.md`, section 2); reading them is `controlplane.block_lines`. Exit codes: 0 all read, 1 a gate failed,
2 bad input.
"""

import json
import sys
from typing import Any

import click

from canary import judge
from canary.errors import BadInput, SpecError
from canary.judge import Increments, JudgeConfig, JudgeState
from canary.spec.models import CanarySpec
from canary.verdict import GateAnswer, GateVerdict, Judgement
from controlplane.block_lines import BlockLines
from controlplane.spec_files import load

FAILED, BAD_INPUT = 1, 2


@click.command()
@click.argument("file", metavar="FILE")
@click.pass_context
def command(context: click.Context, file: str) -> None:
    """Judge blocks of counts from standard input by the gates of FILE, one verdict a line.

    A block is what happened since the block before, as increments. Blocks with t below 0 are stable's history: they
    teach the judge noise and thresholds. After a gate has failed, the verdict stays fail.
    """
    try:
        spec = load(file).canary.spec
        failed = _judge_lines(spec)
    except (SpecError, BadInput) as error:
        click.echo(str(error), err=True)
        context.exit(BAD_INPUT)
    if failed:
        context.exit(FAILED)


def _judge_lines(spec: CanarySpec) -> bool:
    """Read to the end, print a verdict for each block; whether a gate failed."""
    config = judge.compile_gates(spec)
    state, failed = judge.begin(config), False
    lines = BlockLines(spec)
    for number, text in enumerate(sys.stdin.buffer, start=1):
        if not text.strip():
            continue
        block = lines.read(number, text)
        state = judge.update(config, state, block)
        answer, found = _answer(config, state, block)
        failed = failed or answer is GateAnswer.FAIL
        line = {
            "t": block.t,
            "verdict": GateAnswer.FAIL if failed else answer,
            "gates": [_gate(gate) for gate in found.gates],
        }
        if found.problem:
            line["problem"] = found.problem
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return failed


def _answer(config: JudgeConfig, state: JudgeState, block: Increments) -> tuple[GateAnswer, Judgement]:
    """The answer for the block's stage. History is never passed: there is no canary in it."""
    found = judge.read(config, state, stage=block.stage, now=block.t)
    history = block.t < 0 and found.answer is GateAnswer.PASS
    return (GateAnswer.WAIT if history else found.answer), found


def _gate(verdict: GateVerdict) -> dict[str, Any]:
    """One gate's verdict as the contract has it; keys without a value are left out, but for the arms' values."""
    line = {
        "gate": verdict.gate,
        "verdict": verdict.verdict,
        "canary": verdict.canary,
        "stable": verdict.stable,
        "limit": verdict.limit,
        "log_e": verdict.log_e,
        "samples": dict(verdict.samples),
        "why": verdict.why,
        "spoke": verdict.spoke,
        "on_breach": verdict.on_breach,
    }
    if verdict.eta is not None:
        line["eta"] = verdict.eta
    if verdict.harm_began is not None:
        line["harm_began"] = verdict.harm_began
    return line
