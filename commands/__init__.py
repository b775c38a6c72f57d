"""The administrator's commands: one module per noun, each a group of the command line."""
