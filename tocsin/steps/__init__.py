"""Claim, do, record: what every process that wakes up calls."""
