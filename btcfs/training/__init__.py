"""Training sets, honest evaluation, model bundles and their registry."""
