"""One module per family of task: each turns features or interventions into a result."""
