"""The events Kabar knows out of the box, one file per category."""
