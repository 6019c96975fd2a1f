"""The gateway: HTTP/JSON in front of the gRPC contracts, their OpenAPI documents, and Swagger UI."""
