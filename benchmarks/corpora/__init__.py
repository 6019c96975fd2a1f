"""Commands that are made, not collected: what the risk assessment is measured on besides files of labelled rows."""
