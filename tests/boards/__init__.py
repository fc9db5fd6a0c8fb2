"""Tests of pagingviz/boards/, and what they share."""
