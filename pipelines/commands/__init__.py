"""The commands, a module each group; `add_to(app)` registers a module's commands."""
