"""The engine: what is due, who does it, and what was done."""
