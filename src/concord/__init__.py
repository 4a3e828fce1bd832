"""concord."""
