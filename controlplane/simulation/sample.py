"""Where the sample plan is: what `serinus simulate` plays when it is given no file."""

from pathlib import Path

SAMPLE = Path(__file__).with_name("sample.canary.yml")
