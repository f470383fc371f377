"""Models: the contract, the families, and where weights come from."""
