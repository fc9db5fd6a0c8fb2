"""Tests of pagingviz/machine/, and what they share."""
