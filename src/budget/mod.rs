//! Pure arithmetic: burn rates, budget left, time to exhaustion.
