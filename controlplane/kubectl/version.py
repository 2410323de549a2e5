"""`kubectl canary version`: which version this is, and whether the cluster knows ModelCanaries."""

from importlib.metadata import version as version_of

import click

from controlplane.kubectl.session import KubectlSession, at_cluster


@click.command("version")
@at_cluster
async def command(session: KubectlSession) -> int:
    """Say which version this is, and which ModelCanaries it finds."""
    from controlplane.kubectl.find import canaries
    from controlplane.kubernetes.resources import MODEL_CANARY

    click.echo(f"kubectl canary {version_of('serinus')}")
    count = len((await canaries(session)).items)
    click.echo(f"{session.server}: {MODEL_CANARY.api_version}, {count} in namespace {session.namespace}")
    return 0
