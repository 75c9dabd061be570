"""Which names belong to one person, and the name that outputs show."""
