"""One module per family of task: each turns what was read, or interventions, into a result."""
