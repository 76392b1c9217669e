"""What haymaker costs, measured on real files and real processes; `make bench` runs it. Never a timed test."""
