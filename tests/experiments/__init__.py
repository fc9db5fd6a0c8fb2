"""Tests of pagingviz/experiments/, and what they share."""
