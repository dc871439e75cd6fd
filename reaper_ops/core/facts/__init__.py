"""Facts: asks (a command or path), and parsers of what came back."""
