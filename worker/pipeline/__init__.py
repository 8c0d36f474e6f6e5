"""The eight stages an event passes, in order: accept address decide dispatch · lease render send settle."""
