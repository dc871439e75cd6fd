"""Which models a fleet shall hold, byte for byte, and how they come to its hosts."""
