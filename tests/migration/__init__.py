"""Tests of pagingviz/migration/, and what they share."""
