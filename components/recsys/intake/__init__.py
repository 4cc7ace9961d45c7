"""From files of any shape to rows of our tables: reading, naming columns, telling times, cleaning, appending once."""
