"""A small model that begins with nothing."""
