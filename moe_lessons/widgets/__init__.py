"""Thin bindings: controls -> pure function -> picture. Nothing here computes a number that a lesson teaches."""
