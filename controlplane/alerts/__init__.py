"""Alerts: what somebody has to hear of, sent to the channels that the plan names, in the background.

`open_notifier` is what the program uses. What becomes an alert is decided in `canary/alert.py`; the wire formats stand
in `channels/`.
"""

from controlplane.alerts.notifier import open_notifier

__all__ = ["open_notifier"]
