"""Tests of pagingviz/evidence/, and what they share."""
