"""Where categories come from: archives, downloads, the official sources."""
