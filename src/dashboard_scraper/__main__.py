"""`python -m dashboard_scraper`."""

from dashboard_scraper.main import run

run()
