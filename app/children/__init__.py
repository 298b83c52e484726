"""The desired children, one kind a module, each in the canonical form in which the API server would store it."""
