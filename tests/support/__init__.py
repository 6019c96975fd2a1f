"""What tests share: a real Redis, tokens, and services as processes."""
