"""Tells other systems what happens to approvals: webhooks, and the deliveries to them (docs/notifications.md)."""
