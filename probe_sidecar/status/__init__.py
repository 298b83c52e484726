"""What is told: the wanted `.status` of each ExternalService, and its publishing."""
