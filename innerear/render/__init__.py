"""How the embedded corpora were made: run once, by maintainers. Nothing else imports it."""
