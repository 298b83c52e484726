"""The sync hook: returns the children of an ExternalService to Metacontroller."""
