"""The faults themselves: each is played in a scene, healed, and counted as a round."""
