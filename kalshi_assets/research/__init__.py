"""The read side for notebooks and the command line."""
