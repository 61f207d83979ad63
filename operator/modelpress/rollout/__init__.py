"""How a new revision takes over from the old one: strategies, as pure functions of what is seen and what time it is."""
