"""Pure: facts and an instant in, effects and numbers out."""
