"""How each kind of task is measured: captured states or interventions become a measurement."""
