"""Redis: the only code of the approval service that knows keys."""
