"""Metrics, intervals, verdicts and the champion."""
