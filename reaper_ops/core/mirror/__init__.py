"""The site mirror: where it lies, its files, what is to be done on its host, and how it does."""
