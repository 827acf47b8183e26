"""Closed loops: the model acts on a small sandboxed project after a long session, until it is done or goes wrong."""
