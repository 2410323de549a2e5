"""How commands say what went wrong in several things at once. Used by those that run task groups; exits nothing."""

import click


def complain(errors: BaseExceptionGroup[Exception]) -> None:
    """Each error's own sentence on standard error."""
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            complain(error)
        else:
            click.echo(str(error), err=True)
