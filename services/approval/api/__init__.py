"""gRPC servicers of the approval service."""
