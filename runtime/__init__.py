"""Parts that both processes need to run: common settings, logs and version.

Imports external_service, for the types of the settings, and the standard library. Knows nothing of HTTP or Kubernetes.
"""
