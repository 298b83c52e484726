"""Which of the live replicas works for which ExternalService: Leases, and rendezvous hashing over them (ADR 0060)."""
