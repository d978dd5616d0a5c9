"""How long our own work takes, and how much memory."""
