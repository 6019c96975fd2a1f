"""Carrying commands to runs: batching, committing, and what happens by the clock."""
