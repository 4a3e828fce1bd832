"""Models: from a name to a network, its prompts, its states and its readout."""
