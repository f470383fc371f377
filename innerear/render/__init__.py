"""How the embedded corpora were made: run once, by maintainers. No other package imports it."""
