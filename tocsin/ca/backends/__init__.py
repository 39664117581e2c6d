"""One module for each kind of CA; each says what its CA's replies mean."""
