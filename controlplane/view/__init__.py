"""What people see of a rollout: one picture, drawn as a live screen, as lines, or as JSON lines."""
