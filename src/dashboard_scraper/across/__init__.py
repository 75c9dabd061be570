"""Several sources beside each other: who uses which, and who has a seat."""
