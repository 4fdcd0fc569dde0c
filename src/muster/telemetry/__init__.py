"""What the journal tells outside: metrics, exporters, traces."""
