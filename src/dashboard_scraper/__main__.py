"""`python -m dashboard_scraper`."""

from dashboard_scraper.main import run

if __name__ == "__main__":
    run()
