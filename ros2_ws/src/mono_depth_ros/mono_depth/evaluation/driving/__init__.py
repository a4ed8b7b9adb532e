"""A robot that drives by the scan, through stand-ins of Nav2's layers and a planner.

Nav2 cannot run everywhere, so what its layers and its collision monitor do with a scan is written
here anew, from their documented behaviour: enough to prove what a scan makes a robot do.
"""
