"""Tests of pagingviz/timeline/, and what they share."""
