"""A fake API server: `kube.MemoryKube` is its client, `server.py` holds the objects."""
