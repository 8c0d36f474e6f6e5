"""The loops that string the stages together: intake, courier, timer."""
