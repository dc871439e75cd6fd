"""What numbers and texts of other programs mean: whole tables, each from the header or source that defines it."""
