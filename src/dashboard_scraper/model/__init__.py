"""What figures are: the catalogue of metrics, days, windows of days, and what has to add up."""
