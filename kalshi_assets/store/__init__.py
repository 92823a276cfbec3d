"""The event-time store: Delta tables, the as-of door, read-only SQL, ledgers, mappings and snapshots."""
