"""The sync hook: answers Metacontroller with the Service, Endpoints and Ingress that an ExternalService wants."""
