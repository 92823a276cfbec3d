"""A loopback exchange and FRED that serve an archive, and the simulated archive of the demo."""
