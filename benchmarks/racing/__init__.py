"""The race: every library that the benchmarks of the rooms know, beside ours, in one run."""
