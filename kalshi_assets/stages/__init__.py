"""One plain function a stage; what Dagster, notebooks and the command line all call."""
