"""Task files and the parameters of their protocols. Reading them needs no model."""
