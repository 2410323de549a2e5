"""`serinus server` is the sample server: the same flags, the same exit codes."""

import pytest
from click.testing import CliRunner

from controlplane.cli.main import serinus


def test_its_flags_are_the_servers_own() -> None:
    result = CliRunner().invoke(serinus, ["server", "--help"])
    assert result.exit_code == 0
    assert "--error-rate" in result.output
    assert "--kpi NAME=SHARE" in result.output


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--tokens", "0"], "tokens is a whole number from 1, got 0"),
        (["--kpi", "conversion"], "expected NAME=SHARE such as conversion=0.2, got 'conversion'"),
        (["--slots", "0"], "--slots is a whole number from 1, got 0"),
        (["--speed", "3"], "unrecognized arguments: --speed 3"),
    ],
)
def test_a_wrong_flag_is_bad_input(flags: list[str], says: str) -> None:
    result = CliRunner().invoke(serinus, ["server", *flags])
    assert result.exit_code == 2
    assert says in result.output
