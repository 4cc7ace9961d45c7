"""A page an alert: what it means, how to look, how to stop the bleeding, how to undo. The pages' commands are run by tests."""
