"""Checks of the wish by testinfra, shipped and run by `reaper-ops verify`."""
