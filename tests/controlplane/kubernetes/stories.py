"""What the tests of this folder call an asynchronous test in virtual time."""

from tests.virtual import in_virtual_time

story = in_virtual_time
