"""Whether a variant's answers to a data set are good enough, decided before anyone gets one.

Called by `controlplane.evaluation`, which asks the endpoints. Pure: items, answers and scores come in, verdicts go out.
The arithmetic is that of `canary.judge.portable_math`, so that the same answers give the same verdict everywhere.
`docs/evaluation.md` has the method and its sources.
"""
