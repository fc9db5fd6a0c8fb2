"""Work: what the guest does at each tick, from generators, recorded programs or a program given row by row."""
