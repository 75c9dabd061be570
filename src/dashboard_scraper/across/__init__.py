"""Several sources compared: who uses which, and who has a seat."""
