"""How fast networks are trained and used."""
