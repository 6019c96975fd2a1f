"""Turns a request in words into a plan of steps."""
