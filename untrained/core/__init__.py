"""The spine: state, method, rule, engine, recipe, the one loop `solve`, and its result."""
