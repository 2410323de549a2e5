"""The shell around `profiles`: reads catalogues, configs and measurements, and measures endpoints."""
