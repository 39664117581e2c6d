"""The officers' desk: pages of the CA's own people, behind a session."""
