"""The nouns of a fit: state, method, rule, engine and recipe."""
