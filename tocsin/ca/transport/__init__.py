"""How a CA is called: limits, parallel calls, HTTP, and what it published."""
