"""What subscribers meet: pages behind signed links."""
