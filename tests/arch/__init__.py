"""Tests of pagingviz/arch/, and what they share."""
