"""Events: what `kubectl describe` and `kubectl events` show of transitions. Nothing here holds up a status write."""
