"""Report to text, JSON and the rest."""
