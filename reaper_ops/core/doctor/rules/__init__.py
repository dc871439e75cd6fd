"""Judgement: only rules say good or bad."""
