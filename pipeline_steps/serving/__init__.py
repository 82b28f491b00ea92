"""The exported model in service: what it is, who serves it, who asks it, what was answered."""
