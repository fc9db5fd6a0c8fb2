"""Tests of pagingviz/story/, and what they share."""
