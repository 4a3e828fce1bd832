"""From prompts to predictions: candidates scored exactly and with little work."""
