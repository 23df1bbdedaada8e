"""Parts that models share; no part knows a model."""
