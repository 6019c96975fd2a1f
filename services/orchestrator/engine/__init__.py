"""The pure core: every transition of run, step and gate, as plain Python over plain data.

Nothing here does I/O, reads a clock or draws a random number; time and jitter come in as arguments.
"""
