"""Talks to the certificate authority: asks it to revoke, and reads what it published."""
