"""Decides whether a new variant of a model may have more traffic.

This package is pure: it reads no clock, opens no socket, touches no disk and draws no random number. What it knows is
in the arguments of its functions, so the same inputs give the same decision for ever. `controlplane` calls it and
carries out what it decides; it never looks up at `controlplane`, and it does not know `profiles`.
"""
