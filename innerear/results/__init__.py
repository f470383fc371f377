"""What a result is: its schema, the store, its headline, and how it is verified and compared."""
