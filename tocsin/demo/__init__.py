"""The 2024 incident, replayed against the real engine."""
