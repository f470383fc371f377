"""What a result is: its schema, the store, its headline, verification and comparison."""
