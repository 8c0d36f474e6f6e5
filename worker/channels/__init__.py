"""The media Kabar delivers on: one file per channel, each an implementation of `base.Channel`."""
