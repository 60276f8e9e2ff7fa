"""Intervals, tests and resampling: numbers in, numbers out. The only place that decides whether two rows differ."""
