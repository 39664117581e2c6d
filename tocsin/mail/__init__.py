"""Talks to the relay and the mailbox; never sees the database."""
