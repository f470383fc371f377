"""How the model organisms were made: small recognisers whose every training clip is known."""
