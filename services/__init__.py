"""The service processes: one package each, and the runtime they stand on."""
