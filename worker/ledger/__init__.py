"""The only package that knows SQL: what was decided, what was tried, what became of it."""
