"""What the risk assessment is measured on: commands made from tables, and rows written by hand in `written/`.

The rows in `written/` are inert samples: none of them is ever run. Their authors had not seen the detector. Each set
was measured once before anything was changed because of it (docs/risk.md has those figures); since then it is for
development.
"""
