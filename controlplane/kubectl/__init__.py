"""`kubectl canary`: rollouts in a cluster as people see them and act on them, from the kubeconfig that kubectl uses."""
