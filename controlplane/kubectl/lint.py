"""`kubectl canary lint`: `serinus validate --for cluster`, and with `--dry-run=server` the API server's word as well.

Changes nothing, here or there.
"""

from typing import Any

import click
import yaml

from controlplane.kubectl.session import (
    BAD_INPUT,
    KubectlSession,
    Where,
    group_where,
    open_session,
    places,
    run,
    trying,
)


@click.command("lint")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@trying("server: ask the cluster as well.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: one object a file.")
@places
@click.pass_context
def command(context: click.Context, files: tuple[str, ...], dry_run: bool, output: str, where: Where) -> None:
    """Check canary.yml files for a cluster; every fault with file, line and column.

    Exit codes: 0 every file is in order, 2 otherwise.
    """
    from controlplane.cli import validate

    if dry_run and "-" in files:
        raise click.UsageError("Standard input can be read once: --dry-run=server needs files.")
    try:
        context.invoke(validate.command, files=files, settings=None, where="cluster", additions=(), output=output)
        code = 0
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    if dry_run and not code:
        opener = context.obj or open_session
        code = run(opener, where.over(group_where(context)), lambda session: _tried(session, files))
    raise SystemExit(code)


async def _tried(session: KubectlSession, files: tuple[str, ...]) -> int:
    """Whether the API server would take every file."""
    return max([await _try(session, file) for file in files])


async def _try(session: KubectlSession, file: str) -> int:
    from canary.spec.resource import KIND
    from controlplane.kubectl.trouble import NOT_INSTALLED, sentence_of
    from controlplane.kubernetes.api import NotFound, Rejected
    from controlplane.kubernetes.resources import MODEL_CANARY
    from controlplane.spec_files import read_source

    object_: Any = yaml.safe_load(read_source(file).text)
    if not isinstance(object_, dict) or object_.get("kind") != KIND:
        click.echo(f"{file}: is a short form, which the API server does not take: write the full one (kind: {KIND}).")
        return BAD_INPUT
    object_["metadata"].setdefault("namespace", session.namespace)
    try:
        await session.on_trial().kube.apply(MODEL_CANARY, object_)
    except NotFound as error:
        missing = "namespaces" in str(error)
        click.echo(f"{file}: {sentence_of(error) if missing else NOT_INSTALLED}", err=True)
        return BAD_INPUT
    except Rejected as error:
        click.echo(f"{file}: the API server does not take it: {sentence_of(error)}", err=True)
        return BAD_INPUT
    click.echo(f"{file}: the API server takes it in namespace {object_['metadata']['namespace']} (nothing was changed)")
    return 0
