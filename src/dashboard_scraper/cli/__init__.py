"""The command line: parsing, the commands, and building their objects from the settings."""
