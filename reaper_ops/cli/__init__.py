"""Words in, words and an exit code out."""
