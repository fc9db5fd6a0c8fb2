"""Tests of pagingviz/core/, and what they share."""
