"""The pages that managers look at for half a minute, as Markdown; one module for each."""
