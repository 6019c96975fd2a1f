"""The approval service: risk assessment, policy, approval requests, decisions and grants."""
