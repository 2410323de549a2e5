"""GitOps on one machine: commits of canary.yml files become rollouts, and how these end becomes commits."""
