"""Faults and hostile input: nothing is lost, nothing is executed."""
