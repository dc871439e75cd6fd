"""Every decision. No file, socket, clock or process."""
