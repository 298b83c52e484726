"""`external-service`, the one command for hook, prober and everything that a person types."""
