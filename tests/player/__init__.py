"""Tests of pagingviz/player/, and what they share."""
