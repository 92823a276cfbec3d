"""The pure domain: arrays and Arrow tables in, arrays and tables out; no I/O, clock, environment, logging or Dagster."""
