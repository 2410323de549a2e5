"""The read model: what is known of a rollout, for everybody who shows one. Between the core and every face.

Read first: `directory.py` (a handle to one rollout), `rollout_view.py` (its record joined with what was seen of its
world last), `state.py` (the whole picture with every value as text). `local.py` and `cluster.py` read it where it is.
Nothing here decides, moves traffic, or knows HTTP, terminals or command lines.
"""
