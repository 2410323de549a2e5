"""The page that shows rollouts in a browser: static files, served by `controlplane.api` and built by nobody."""
