"""The HTTP interface to the rollouts on this machine: read them, follow them, ask them for something.

Opened by `serinus dashboard`. It reads the stores that `serinus run` writes and puts people's requests into them, as
the commands do; it decides nothing, moves no traffic and can be stopped at any time.
"""
