"""The wanted `.status` of each ExternalService, and its publishing."""
