"""Sweep over settings: one job a combination, all of them compared, the best written as a preset."""
