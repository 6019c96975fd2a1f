"""Grants: signed tokens that name exactly what may run, where, and until when. `docs/grants.md` describes them."""
