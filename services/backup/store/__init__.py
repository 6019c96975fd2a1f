"""Everything that touches Redis or the disk."""
