"""Where journals, leases and inboxes are kept."""
