"""Tests of pagingviz/ui/, and what they share."""
