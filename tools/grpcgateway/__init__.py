"""The real grpc-gateway, built from the same contracts: what services/gateway is compared with."""
