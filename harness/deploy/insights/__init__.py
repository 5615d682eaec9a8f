"""What a bundle tells people who act on it: drivers, reasons of single rows, whom to contact, and how sure all that is."""
