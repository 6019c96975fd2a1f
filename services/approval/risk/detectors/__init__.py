"""What is looked for in any text: paths, secrets, requests, and the intent of prose."""
