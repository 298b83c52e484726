"""Which live replica owns which ExternalService: Leases, and rendezvous hashing among those who hold one."""
