"""The Kubernetes API server as the rest of the shell sees it: plain dicts, one client, caches that follow it."""
