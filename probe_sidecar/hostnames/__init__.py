"""What the names in spec.hostnames resolve to: asked as often as DNS allows, kept when it fails to answer."""
