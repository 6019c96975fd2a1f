"""Shell commands and scripts: parsed, walked in the order they would run, each command handed to the rules."""
