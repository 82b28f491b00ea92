"""One picture: header, decoding, views."""
