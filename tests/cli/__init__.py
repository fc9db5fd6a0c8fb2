"""Tests of pagingviz/cli/, and what they share."""
