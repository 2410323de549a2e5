"""When a number is too old to be trusted. Used by the judge, the observer and every reader of Prometheus."""

STALE_INTERVALS = 3
"""Scrape intervals without a new value after which a series is stale, and a source that answers nothing is down.

Fewer would turn a hiccup into an alarm.
"""
