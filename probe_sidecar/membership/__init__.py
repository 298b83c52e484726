"""Which of the live replicas works for which ExternalService: Leases, and even shares among those who hold them."""
