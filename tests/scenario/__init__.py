"""Tests of pagingviz/scenario/, and what they share."""
