"""What figures are: the catalogue of metrics, days, windows of dates, and what has to add up."""
