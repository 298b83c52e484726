"""What both processes need to run: their common settings, logs and version.

Imports external_service, for the types of the settings, and the standard library. Knows nothing of HTTP or Kubernetes.
"""
