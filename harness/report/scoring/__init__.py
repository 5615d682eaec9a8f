"""Stored predictions → the figures of every entry, recalibrated and combined ones too, each derived once."""
