"""The whole loop on one machine: stand-ins for the API server, Metacontroller and the backends, with a face."""
