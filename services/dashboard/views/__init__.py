"""One module per noun: what is asked for, and which template shows it."""
