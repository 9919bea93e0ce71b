"""The edges to frameworks."""
