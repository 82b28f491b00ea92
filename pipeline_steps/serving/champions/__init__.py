"""The model that was accepted last: kept, compared with, started from; and the blessing."""
