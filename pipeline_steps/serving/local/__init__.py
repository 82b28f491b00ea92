"""A model server on this machine: choosing, starting, watching and trying one."""
