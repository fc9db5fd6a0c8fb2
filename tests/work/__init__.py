"""Tests of pagingviz/work/, and what they share."""
