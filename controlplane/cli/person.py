"""Who types a command on this machine. Used by the commands that ask a rollout for something.

The account that the process runs under, as the system knows it: `USER` and `LOGNAME`, which `getpass.getuser` believes,
say whatever their sender writes.
"""

import os


def os_user() -> str:
    """The account's name; its number where it has none, as in some containers."""
    try:
        import pwd
    except ModuleNotFoundError:  # Windows knows accounts by other means
        from getpass import getuser

        return getuser()
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
