"""The manifest language: how files become `Desired`. `reconciler.load` is its only door; import from there."""
