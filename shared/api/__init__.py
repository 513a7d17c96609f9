"""HTTP shapes: what callers send and what they get. Power Automate and Logic Apps conventions come first."""
