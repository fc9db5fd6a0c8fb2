"""The engine held against recorded results of other machines, without a screen: one module a kind of recording."""
