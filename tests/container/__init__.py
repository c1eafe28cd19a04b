"""Runs the whole suite against Redis in a container: `python -m tests.container`, which is `nox -s container`."""
