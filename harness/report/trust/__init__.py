"""How far a run may be believed: optimism, how firm the first place is, what could have been found."""
