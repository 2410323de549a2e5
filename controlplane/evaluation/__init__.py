"""Asks two model servers the items of a data set and keeps their answers; `canary.evaluation` decides.

Called by `serinus eval` and, for plans with an evaluation, by `controlplane.program`. Prompts and answers are data:
they are sent, kept, compared and shown, and nothing in them is executed, rendered or followed.
"""
