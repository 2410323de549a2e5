"""The channels: Slack, Teams, Discord, PagerDuty, Opsgenie, mail, webhook, Alertmanager. Each knows one wire format."""
