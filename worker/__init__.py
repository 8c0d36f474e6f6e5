"""Kabar's worker: from a published event to a recorded delivery."""
