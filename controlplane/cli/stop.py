"""`serinus stop`: ends what a run left serving on this machine, and nothing else.

For after `serinus run --keep`, and for a run that was killed and is not to go on.
"""

import asyncio
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for state and logs.")
@click.option("--settings", type=click.Path(path_type=Path), help="Settings for a short form, instead of serinus.yml.")
@click.option("--now", is_flag=True, help="Do not wait for open requests.")
def command(file: Path, state: Path | None, settings: Path | None, *, now: bool) -> None:
    """Stop what a run of FILE left serving: its servers, Envoy and Prometheus. Its state and logs stay.

    New clients are refused at once. Open requests are finished first, for as long as the plan's drain (5m) at most.
    """
    from canary.drain import longest
    from canary.errors import BadInput, ExternalError, SpecError
    from controlplane import spec_files
    from controlplane.adapters.state_dir import default_state_folder
    from controlplane.program import stop_all

    try:
        plan = spec_files.load(file, settings=settings).canary
        folder = state or default_state_folder(plan.metadata.name)
        asyncio.run(stop_all(folder, 0.0 if now else longest(plan.spec, counted=True)))
    except (BadInput, SpecError) as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from error
    except ExternalError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    click.echo(f"Stopped what was serving from {folder}.")
