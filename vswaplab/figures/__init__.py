"""Figures: plotly pictures of a state, each with alt text and a table twin made from the same data."""
