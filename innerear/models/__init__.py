"""Speech models: their contract, the adapters of each family, and where weights come from."""
