"""Point-in-time research on Kalshi macro event markets as a Dagster asset graph."""
