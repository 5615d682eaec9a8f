"""What entries are made of and cost, and how their networks were trained."""
