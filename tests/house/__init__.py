"""The rules of the house, the package and its versions."""
