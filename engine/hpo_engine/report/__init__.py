"""Orders, remarks and forecasts, computed from a history or a spec."""
