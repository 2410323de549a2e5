"""The demo: two rollouts of the sample model server on this machine, one promoted and one put back."""
