"""`serinus profile fingerprint`: is the canary really the model that was meant?"""

from dataclasses import asdict
from typing import get_args

import click

from controlplane.profiles.commands.options import ProfileCommand, output, print_json
from controlplane.profiles.identity import fingerprint
from profiles.errors import Malformed
from profiles.fingerprint import POLICY, Action, compare, sentences


@click.command(cls=ProfileCommand)
@click.argument("stable")
@click.argument("canary", required=False)
@click.option("--declared", multiple=True, help="Field whose change is meant: quantization_config, engine_version, …")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    help="What an undeclared change does: chat_template=warn (block, warn, allow).",
)
@output
def command(stable: str, canary: str | None, declared: tuple[str, ...], policies: tuple[str, ...], output: str) -> None:
    """Compare STABLE and CANARY, each a model directory or an endpoint's URL; or print the fingerprint of one.

    Tokenizer, chat template, generation config, stop tokens, quantization config, engine version and context length
    are compared. Exits with 1 when a change that nobody declared blocks.
    """
    before = fingerprint(stable)
    if canary is None:
        if output == "json":
            print_json(asdict(before))
        else:
            for name, value in asdict(before).items():
                click.echo(f"{name.replace('_', ' '):<20} {'unknown' if value is None else value}")
        return
    policy = {**POLICY, **dict(policy_of(text) for text in policies)}
    found = compare(before, fingerprint(canary), policy, frozenset(declared))
    if output == "json":
        print_json({"verdict": found.verdict, **asdict(found)})
    else:
        for line in sentences(found):
            click.echo(line)
        click.echo({"pass": "Same model.", "warn": "Passes with warnings.", "block": "Blocked."}[found.verdict])
    click.get_current_context().exit(1 if found.verdict == "block" else 0)


def policy_of(text: str) -> tuple[str, Action]:
    """`chat_template=warn`."""
    name, _, action = text.partition("=")
    for known in get_args(Action):
        if action == known:
            return name, known
    raise Malformed(f"--policy: {text!r} must be FIELD=block, FIELD=warn or FIELD=allow")
