"""
The words that a pass speaks in, a module for each of its steps: desired, observed, finding, plan, outcome.

Pure data. It refuses to know where any of it came from: no files, no clock, no processes. Times are seconds
since the epoch (float), durations are seconds.
"""
