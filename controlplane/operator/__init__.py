"""The operator: every ModelCanary of a cluster carried through, with its state in its own status."""
