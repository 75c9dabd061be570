"""Who is one person, and under which name outputs show them."""
