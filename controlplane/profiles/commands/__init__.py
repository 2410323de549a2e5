"""The sub commands of `serinus profile`, one a module, imported when called."""
