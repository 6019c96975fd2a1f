"""What the OpenAPI documents say beyond protoc-gen-openapiv2: errors, access, rules, examples, and their 3.1 form."""
