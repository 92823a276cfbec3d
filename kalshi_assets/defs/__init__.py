"""The Dagster layer: partitions, resources, assets, checks, sensors, jobs and metadata."""
