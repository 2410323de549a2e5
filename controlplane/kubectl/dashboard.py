"""`kubectl canary dashboard`: the rollouts of a cluster in a browser, with this person's kubeconfig and rights.

Nothing of it runs in the cluster. The pages, the token and the address are those of `serinus dashboard`.
"""

import click

from controlplane.kubectl.session import KubectlSession, at_cluster, everywhere


@click.command("dashboard")
@everywhere
@click.option("--listen", default="127.0.0.1:0", show_default=True, help="Address and port; port 0 is any free one.")
@click.option("--host", "hosts", multiple=True, help="A name besides localhost by which it may be called; repeatable.")
@click.option("--read-only", is_flag=True, help="Show everything, allow no actions.")
@click.option("--open/--no-open", "open_it", default=None, help="Open a browser (default: on a terminal).")
@click.option("--prometheus-page", metavar="URL", help="Prometheus as a browser gets there, for links to graphs.")
@at_cluster
async def command(
    session: KubectlSession,
    listen: str,
    hosts: tuple[str, ...],
    read_only: bool,
    open_it: bool | None,
    prometheus_page: str | None,
) -> int:
    """Show rollouts in a browser, live, with your own rights; prints an address with a secret token.

    Those of the namespace, or with -A of all that you may list. Stop with Ctrl-C; no rollout is touched by that.
    """
    from canary.errors import BadInput
    from controlplane.cli.dashboard import Options, serve_cluster, web_page
    from controlplane.kubectl.trouble import NOT_INSTALLED
    from controlplane.kubernetes.api import NotFound

    options = Options(listen, hosts, read_only, open_it, web_page(prometheus_page))
    try:
        await serve_cluster(session.kube, session.server, session.scope, options, user=lambda: session.person)
    except NotFound as error:
        raise BadInput(NOT_INSTALLED) from error
    return 0
