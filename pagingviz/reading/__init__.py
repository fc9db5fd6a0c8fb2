"""Facts read out of a machine as numpy arrays and plain values. No colours and no words."""
