"""The sync hook: returns the Service, Endpoints and Ingress of an ExternalService to Metacontroller."""
