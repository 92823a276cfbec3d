"""The pure domain: arrays and tables in, arrays and tables out; no I/O, clock, environment, logging or Dagster."""
