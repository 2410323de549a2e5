"""`serinus server`: the sample model server. Its flags are those of `controlplane.sample.server`, which reads them."""

import click


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def command(flags: tuple[str, ...]) -> None:
    """The sample model server of the demo: OpenAI-compatible, with vLLM's metrics, as slow or broken as you say."""
    from controlplane.sample import server

    raise SystemExit(server.main(flags))
