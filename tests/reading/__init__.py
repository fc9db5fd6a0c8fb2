"""Tests of pagingviz/reading/, and what they share."""
