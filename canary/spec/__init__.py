"""What the user wrote: canary.yml in its full form and two short ones."""
