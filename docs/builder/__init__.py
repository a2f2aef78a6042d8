"""Builds the guide: scripts/docs runs Sphinx with the settings and the extension here."""
