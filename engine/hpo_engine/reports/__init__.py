"""Orders, remarks and forecasts, computed from a history or a spec; figures and pages of a history."""
