"""The exported model as LiteRT files for devices, and what they lose."""
