"""Tests of pagingviz/manual/, and what they share."""
